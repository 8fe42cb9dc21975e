-- attack: get the farm's functions from the levels of the stack, wherever they call back
-- expect: refused
local try, places, strange = require "try", require "places", require "strange"

function main(env, con)
  strange(print, con, env)  -- learns what is given, where nothing calls back
  local attempts = {}
  for name, place in pairs(places) do
    attempts[name] = function()
      local found
      local function look()
        for level = 0, 60 do
          local info = debug.getinfo(level)
          if not info then break end
          for key, value in pairs(info) do
            if strange(value, con, env) then found = key end
          end
          if info.func and debug.getupvalue(info.func, 1) and info.what == "C" then found = "upvalue" end
        end
      end
      place(con, look)
      return found
    end
  end
  try(con, attempts)
end
