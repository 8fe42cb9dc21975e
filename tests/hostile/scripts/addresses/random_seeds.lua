-- attack: ask math.randomseed for the address that Lua takes for a seed
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for index = 1, 5 do
    attempts["seed " .. index] = function()
      local time, address = math.randomseed()
      return time and math.abs(time - os.time()) < 10 or address and address > 0x550000000000 and address < 0x800000000000
    end
    attempts["coroutine " .. index] = coroutine.wrap(function()
      local time, address = math.randomseed()
      return time and math.abs(time - os.time()) < 10 or address and address > 0x550000000000 and address < 0x800000000000
    end)
  end
  try(con, attempts)
end
