-- attack: digests, keys and random bytes of odd types, lengths and names
-- expect: refused
local try = require "try"
local crypto = require "luafarm.crypto"

function main(env, con)
  local attempts = {}
  for name, value in pairs { table = {}, f = print, nan = 0 / 0, inf = 1 / 0, negative = -1, half = 0.5, huge = 1e300, most = 65537, truth = true,
    object = setmetatable({}, { __tostring = function() return "1" end, __index = function() return 1 end, __len = function() return 1 end }), con = con } do
    attempts["random " .. name] = function() return crypto.random(value) end
    attempts["luafarm random " .. name] = function() return require("luafarm").random(value) end
    if type(value) ~= "number" then
      attempts["hash " .. name] = function() return crypto.hash_password(value) end
      attempts["equal " .. name] = function() return crypto.equal(value, value) end
      attempts["sha1 " .. name] = function() return crypto.sha1(value) end
    end
    attempts["digest " .. name] = function() return crypto.digest(value, "x") end
    attempts["hmac " .. name] = function() return crypto.hmac(value, "x", "x") end
  end
  for _, digest in ipairs { "md4", "shake_256", "blake2b", "sha3-", "SHA256", "\0", "0", "9", "sha256\0" } do
    attempts["name " .. digest] = function() return crypto.digest(digest, "x") end
  end
  attempts.key = function() return crypto.hmac("sha1", ("x"):rep(65537), "x") end
  attempts.password = function() return crypto.hash_password(("x"):rep(4097)) end
  attempts.foreseen = function() return crypto.random(16) == crypto.random(16) end
  attempts.same = function() return crypto.equal("x\0a", "x\0b") end
  attempts.salt = function() return crypto.hash_password("x") == crypto.hash_password("x") end
  attempts.write = function() crypto.random = function() return "" end return true end
  try(con, attempts)
end
