-- attack: repeat strings beyond any size, by sizes that overflow as well
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for name, count in pairs { large = 1e9, larger = 2 ^ 40, huge = 2 ^ 62, most = 2 ^ 63, inf = 1 / 0,
    text = "1e12" } do
    attempts[name] = function() return ("xxxx"):rep(count) end
    attempts["separated " .. name] = function() return not jit and ("x"):rep(count, "yyy") and #("x"):rep(count, "yyy") > 1 end
  end
  if math.maxinteger then
    attempts.overflow = function() return ("xx"):rep(math.maxinteger) end
    attempts.wraps = function() return ("xxxx"):rep(2 ^ 62) end
  end
  try(con, attempts)
end
