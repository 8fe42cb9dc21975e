-- attack: cookie attributes by semicolons
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    value = function() con:cookie("a", "b; Domain=example.com") return true end,
    path = function() con:cookie("a", "b", nil, "/; Secure") return true end,
    domain = function() con:cookie("a", "b", nil, nil, "x; HttpOnly") return true end,
    expires = function() con:cookie("a", "b", "Thu; Secure") return true end,
    far = function() con:cookie("a", "b", 1e300) return true end,
    nan = function() con:cookie("a", "b", 0 / 0) return true end,
  })
end
