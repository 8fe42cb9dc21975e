-- attack: switch on and use Lua 5.4's warnings, which go to standard error
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    on = function() warn("@on") warn("to standard error") return true end,
    global = function() return warn end,
  })
end
