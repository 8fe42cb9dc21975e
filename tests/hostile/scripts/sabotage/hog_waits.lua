-- attack: hold the only VM host for an hour by sleeping
-- expect: budget wall
local luafarm = require "luafarm"

function main() luafarm.sleep(3599) end
