-- attack: statuses that are none of a reply
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, status in ipairs { 0, 99, 100, 101, 199, 600, 999, 1000, -200, "abc", "", "20", "2000", 1e300, {} } do
    attempts["status " .. tostring(status)] = function() con:status(status) return true end
    attempts["header " .. tostring(status)] = function() con:header("Status", status) return true end
  end
  try(con, attempts)
end
