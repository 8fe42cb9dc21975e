-- md5 for Lua 5.1 to 5.5 and LuaJIT, of the interface luafarm's own module has: the
-- operators of Lua 5.3, else LuaJIT's bit library, else arithmetic.
local M = {}

-- RFC 1321, 3.4: the table of sines and the shifts of the four rounds.
local sines, shifts = {}, { 7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21 }
for i = 1, 64 do
   sines[i] = math.floor(math.abs(math.sin(i)) * 4294967296)
end

-- mix(round, b, c, d): F, G, H and I of RFC 1321; turn(x, n): 32 bits turned left.
local mix, turn

local operators = [[
   local function mix(round, b, c, d)
      if round == 0 then return (b & c) | (~b & d) end
      if round == 1 then return (b & d) | (c & ~d) end
      if round == 2 then return b ~ c ~ d end
      return c ~ (b | (~d & 0xffffffff))
   end
   local function turn(x, n)
      x = x & 0xffffffff
      return ((x << n) | (x >> (32 - n))) & 0xffffffff
   end
   return mix, turn
]]

local has_bit, bit = pcall(require, "bit")
local compile = loadstring or load
local native = compile(operators)
if native then
   mix, turn = native()
elseif has_bit then
   local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
   local rol, tobit = bit.rol, bit.tobit
   function mix(round, b, c, d)
      if round == 0 then return bor(band(b, c), band(bnot(b), d)) end
      if round == 1 then return bor(band(b, d), band(c, bnot(d))) end
      if round == 2 then return bxor(b, c, d) end
      return bxor(c, bor(b, bnot(d)))
   end
   function turn(x, n)
      return rol(tobit(x), n) % 4294967296
   end
else
   -- Bytes are combined by tables, as Lua 5.1 has no operators on bits.
   local floor = math.floor
   local ands, xors = {}, {}
   for a = 0, 255 do
      for b = 0, 255 do
         local x, y, both, one, bit_value = a, b, 0, 0, 1
         for _ = 1, 8 do
            local p, q = x % 2, y % 2
            if p + q == 2 then both = both + bit_value end
            if p + q == 1 then one = one + bit_value end
            x, y, bit_value = (x - p) / 2, (y - q) / 2, bit_value * 2
         end
         ands[a * 256 + b], xors[a * 256 + b] = both, one
      end
   end
   local function apply(bytes, x, y)
      local x0, x1, x2 = x % 256, floor(x / 256) % 256, floor(x / 65536) % 256
      local y0, y1, y2 = y % 256, floor(y / 256) % 256, floor(y / 65536) % 256
      return bytes[x0 * 256 + y0] + bytes[x1 * 256 + y1] * 256
         + bytes[x2 * 256 + y2] * 65536
         + bytes[floor(x / 16777216) * 256 + floor(y / 16777216)] * 16777216
   end
   local function inverse(x) return 4294967295 - x end
   local function either(x, y) return inverse(apply(ands, inverse(x), inverse(y))) end
   function mix(round, b, c, d)
      if round == 0 then return apply(xors, d, apply(ands, b, apply(xors, c, d))) end
      if round == 1 then return apply(xors, c, apply(ands, d, apply(xors, b, c))) end
      if round == 2 then return apply(xors, b, apply(xors, c, d)) end
      return apply(xors, c, either(b, inverse(d)))
   end
   function turn(x, n)
      x = x % 4294967296
      local high = floor(x / 2 ^ (32 - n))
      return (x * 2 ^ n) % 4294967296 + high
   end
end

local places = {} -- of the word that each of the 64 steps takes
for i = 0, 63 do
   local round = math.floor(i / 16)
   local step = ({ i, 5 * i + 1, 3 * i + 5, 7 * i })[round + 1]
   places[i + 1] = step % 16 + 1
end

local function words(s, at)
   local w = {}
   for i = 1, 16 do
      local a, b, c, d = string.byte(s, at, at + 3)
      w[i] = a + b * 256 + c * 65536 + d * 16777216
      at = at + 4
   end
   return w
end

local function little(x, count)
   local bytes = {}
   for i = 1, count do
      bytes[i] = string.char(x % 256)
      x = math.floor(x / 256)
   end
   return table.concat(bytes)
end

--- The digest of a string, in hexadecimal.
function M.digest(s)
   local padded = s .. "\128" .. string.rep("\0", (55 - #s) % 64) .. little(#s * 8, 8)
   local a0, b0, c0, d0 = 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476
   for at = 1, #padded, 64 do
      local w = words(padded, at)
      local a, b, c, d = a0, b0, c0, d0
      for i = 1, 64 do
         local round = (i - 1 - (i - 1) % 16) / 16
         local shift = shifts[round * 4 + (i - 1) % 4 + 1]
         local sum = a + mix(round, b, c, d) + sines[i] + w[places[i]]
         a, d, c, b = d, c, b, (b + turn(sum, shift)) % 4294967296
      end
      a0, b0 = (a0 + a) % 4294967296, (b0 + b) % 4294967296
      c0, d0 = (c0 + c) % 4294967296, (d0 + d) % 4294967296
   end
   local raw = little(a0, 4) .. little(b0, 4) .. little(c0, 4) .. little(d0, 4)
   return (string.gsub(raw, ".", function(ch)
      return string.format("%02x", string.byte(ch))
   end))
end

return M
