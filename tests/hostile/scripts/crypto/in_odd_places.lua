-- attack: ask for digests and random bytes where Lua cannot wait, and take what is no answer for one
-- expect: refused
local try = require "try"
local crypto = require "luafarm.crypto"

function main(env, con)
  local attempts = {}
  local function odd(found) return found ~= nil and type(found) ~= "string" and type(found) ~= "boolean" end
  for name, f in pairs { random = function() return crypto.random(8) end, sha1 = function() return crypto.sha1("x") end,
    equal = function() return crypto.equal("x", "x") end, hash = function() return crypto.hash_password("x") end,
    verify = function() return (crypto.verify_password("x", "$scrypt$ln=1,r=1,p=1$AAAA$" .. ("A"):rep(43))) end } do
    attempts["gsub " .. name] = function() local found ("x"):gsub("x", function() found = f() end) return odd(found) end
    attempts["sort " .. name] = function() local found table.sort({ 2, 1 }, function() found = f() end) return odd(found) end
    attempts["index " .. name] = function() return odd(setmetatable({}, { __index = f }).x) end
    attempts["handler " .. name] = function() return odd(select(2, xpcall(error, f))) end
    attempts["iterator " .. name] = function() for found in f do return odd(found) end end
    attempts["answered " .. name] = function()
      local thread = coroutine.create(f)
      local _, found = coroutine.resume(thread)
      coroutine.resume(thread, "forged")
      return odd(found)
    end
  end
  try(con, attempts)
end
