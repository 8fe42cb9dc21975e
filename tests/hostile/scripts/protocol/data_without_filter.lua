-- attack: read the DATA stream of a request that has none
-- expect: refused
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  try(con, {
    data = function() return luafarm.data() end,
    sized = function() return luafarm.data(2 ^ 31) end,
  })
end
