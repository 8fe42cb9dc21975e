-- attack: read files until memory is full
-- expect: budget memory or 500 not enough memory or 200 ended
local luafarm = require "luafarm"

function main(env, con)
  local kept = {}
  for index = 1, 100000 do kept[index] = luafarm.read("strings.lua"):rep(20) .. index end
  con:puts("ended")
end
