-- base64 for Lua 5.1 to 5.5 and LuaJIT, of the interface luafarm's own module has.
local M = {}

local digits = {}
for i = 1, 64 do
   digits[i - 1] = string.sub(
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", i, i)
end

function M.encode(s)
   local out, floor = {}, math.floor
   for i = 1, #s, 3 do
      local a, b, c = string.byte(s, i, i + 2)
      local n = a * 65536 + (b or 0) * 256 + (c or 0)
      out[#out + 1] = digits[floor(n / 262144)]
         .. digits[floor(n / 4096) % 64]
         .. (b and digits[floor(n / 64) % 64] or "=")
         .. (c and digits[n % 64] or "=")
   end
   return table.concat(out)
end

return M
