-- attack: ask the farm while it closes the state
-- expect: 200 alive
local luafarm = require "luafarm"

function main(env, con) con:puts("alive") end

function shutdown()
  luafarm.sleep(1000)
  pcall(function() luafarm.read("x") end)
  while true do end
end
