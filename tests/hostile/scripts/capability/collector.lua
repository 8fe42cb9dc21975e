-- attack: stop or tune the collector, so that memory and pauses are no longer ours to set
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, what in ipairs { "stop", "restart", "setpause", "setstepmul", "generational",
    "incremental", "isrunning", "param" } do
    attempts[what] = function() collectgarbage(what, 0) return true end
  end
  attempts.gcinfo = function() return gcinfo end
  try(con, attempts)
end
