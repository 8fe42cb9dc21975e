-- attack: change or find the environment of the farm's own functions
-- only: luajit21
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for level = 0, 30 do
    attempts["get " .. level] = function()
      local found = getfenv(level)
      return found ~= _G and found.puts ~= "mine" and (found.T or found.debug or found.python or found.io or found)
    end
    attempts["set " .. level] = function()
      setfenv(level, setmetatable({ puts = "mine" }, { __index = _G }))  -- of its own functions
      return level == 0
    end
  end
  for name, f in pairs { puts = con.puts, print = print, pcall = pcall, require = require,
    find = string.find, sort = table.sort } do
    attempts["get of " .. name] = function() return getfenv(f) ~= _G end
    attempts["set of " .. name] = function() setfenv(f, {}) return true end
  end
  attempts.thread = function() setfenv(coroutine.create(print), {}) return true end
  try(con, attempts)
end
