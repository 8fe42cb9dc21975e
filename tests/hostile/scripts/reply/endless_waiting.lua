-- attack: wait without end when the reply has ended
-- expect: 200 sent or budget wall
-- asks: 2
local luafarm = require "luafarm"

function main(env, con)
  con:puts("sent")
  con:finish()
  while true do pcall(luafarm.sleep, 3600) end
end
