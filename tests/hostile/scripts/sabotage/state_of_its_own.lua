-- attack: pretend to be another generation or state
-- expect: refused
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  try(con, {
    id = function() luafarm.state.id = "x" return true end,
    requests = function() rawset(luafarm.state, "requests", -1) return true end,
    wrong = function() return luafarm.state.requests ~= 1 end,
  })
end
