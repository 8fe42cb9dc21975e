-- attack: ask the farm for the time for ever
-- expect: budget cpu
local luafarm = require "luafarm"

function main() while true do pcall(luafarm.now) end end
