-- attack: sleep for an hour, at any depth
-- expect: budget wall
local luafarm = require "luafarm"

function main()
  coroutine.wrap(function() pcall(luafarm.sleep, 3600) pcall(luafarm.sleep, 3600) end)()
end
