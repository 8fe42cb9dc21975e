-- attack: ask the farm for sleeps of no time for ever
-- expect: budget cpu
local luafarm = require "luafarm"

function main() while true do pcall(luafarm.sleep, 0) end end
