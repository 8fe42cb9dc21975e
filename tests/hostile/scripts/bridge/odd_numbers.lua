-- attack: numbers that do not fit where they are sent to
-- expect: refused
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  local attempts = {}
  for name, number in pairs { nan = 0 / 0, inf = 1 / 0, minus = -1 / 0, huge = 1e300, negative = -1,
    text = "nan", hex = "0x7fffffffffffffff", many = ("9"):rep(400) } do
    attempts["sleep " .. name] = function() luafarm.sleep(number) return true end
    attempts["data " .. name] = function() return luafarm.data(number) end
    attempts["status " .. name] = function() con:status(number) return true end
  end
  for name, number in pairs { nan = 0 / 0, minus = -1 / 0, negative = -1, zero = 0 } do
    attempts["read " .. name] = function() con:read(number) return true end
  end
  try(con, attempts)
end
