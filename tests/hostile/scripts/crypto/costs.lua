-- attack: verify hashes of passwords whose cost is a year or all memory
-- expect: refused
local try = require "try"
local crypto = require "luafarm.crypto"

function main(env, con)
  local attempts, rest = {}, "$" .. ("A"):rep(22) .. "$" .. ("A"):rep(43)
  for _, cost in ipairs { "ln=99,r=99,p=99", "ln=63,r=1,p=1", "ln=64,r=8,p=1", "ln=30,r=8,p=1", "ln=20,r=8,p=1", "ln=1,r=99,p=99", "ln=0,r=8,p=1",
    "ln=14,r=0,p=5", "ln=14,r=8,p=0", "ln=17,r=99,p=1", "ln=16,r=8,p=99", "ln=-1,r=8,p=1", "ln=1e9,r=8,p=1", "ln=14,r=8,p=5\0" } do
    attempts[cost] = function() return crypto.verify_password("x", "$scrypt$" .. cost .. rest) end
  end
  for _, hash in ipairs { "$scrypt$ln=14,r=8,p=5$$" .. ("A"):rep(43), "$scrypt$ln=14,r=8,p=5$" .. ("A"):rep(4000) .. "$" .. ("A"):rep(43),
    "$scrypt$ln=14,r=8,p=5$AAAA$", "$scrypt$ln=14,r=8,p=5$AAAA$" .. ("/"):rep(44), ("$"):rep(4000), ("x"):rep(500000) } do
    attempts[hash:sub(1, 60)] = function() return crypto.verify_password("x", hash) end
    attempts["password " .. hash:sub(1, 60)] = function() return crypto.verify_password(hash, hash) end
  end
  try(con, attempts)
end
