-- attack: hash passwords without end
-- expect: budget cpu
local crypto = require "luafarm.crypto"

function main() while true do pcall(crypto.hash_password, "x") end end
