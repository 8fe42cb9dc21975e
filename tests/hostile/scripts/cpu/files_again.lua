-- attack: read the same file for ever
-- expect: budget cpu
local luafarm = require "luafarm"

function main() while true do pcall(luafarm.read, "while_true.lua") end end
