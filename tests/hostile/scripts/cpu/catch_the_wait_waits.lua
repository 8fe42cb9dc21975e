-- attack: sleep again whenever the sleep is given up
-- expect: budget wall
local luafarm = require "luafarm"

function main()
  while true do pcall(luafarm.sleep, 0.2) end
end
