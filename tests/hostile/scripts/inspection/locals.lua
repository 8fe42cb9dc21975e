-- attack: read local variables of the farm's functions over all levels, wherever they call back
-- expect: refused
local try, places, strange = require "try", require "places", require "strange"

function main(env, con)
  strange(print, con, env)  -- learns what is given, where nothing calls back
  local attempts = {}
  for name, place in pairs(places) do
    attempts[name] = function()
      local found
      local function look()
        for level = 0, 50 do
          for index = -20, 60 do
            local ok, named, value = pcall(debug.getlocal, level, index)
            if not ok then break end
            if named ~= nil and strange(value, con, env, found) then found = named end
          end
        end
      end
      place(con, look)
      return found
    end
  end
  try(con, attempts)
end
