-- attack: a plain search of quadratic time, with and without saying that it is plain
-- expect: refused
local try = require "try"

function main(env, con)
  local hay, needle = ("a"):rep(1500000), ("a"):rep(700000) .. "b"
  try(con, {
    plain = function() hay:find(needle, 1, true) return true end,
    without_specials = function() hay:find(needle) return true end,
  })
end
