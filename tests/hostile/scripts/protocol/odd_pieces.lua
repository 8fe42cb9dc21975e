-- attack: put what is no text
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for name, value in pairs { table = {}, truth = true, f = print, thread = coroutine.create(print),
    named = setmetatable({}, { __tostring = function() return "ESCAPED" end, __name = "string" }) } do
    attempts["puts " .. name] = function() con:puts(value) return true end
    attempts["log " .. name] = function() con:log(value) return true end
    attempts["header " .. name] = function() con:header("X", value) return true end
  end
  attempts.none = function() con:puts() return true end
  try(con, attempts)
end
