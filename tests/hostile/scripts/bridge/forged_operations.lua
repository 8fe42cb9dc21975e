-- attack: yield what looks like an operation of the farm, from the main code
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for number = -1, 14 do
    attempts["operation " .. number] = function()
      coroutine.yield(number, "Status: 200", "ESCAPED", "", true)
      return true
    end
  end
  attempts.table = function() coroutine.yield({}, 0, "", "ESCAPED", "") return true end
  attempts.none = function() coroutine.yield() return true end
  attempts.many = function() coroutine.yield((table.unpack or unpack)({}, 1, 250)) return true end
  try(con, attempts)
end
