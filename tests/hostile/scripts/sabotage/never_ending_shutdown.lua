-- attack: hooks for closing that never end, in a state that is closed at once
-- expect: budget cpu
local luafarm = require "luafarm"

function main() while true do end end
function shutdown() while true do luafarm.sleep(1) end end
