-- attack: read and set environments of the farm's functions, of threads, of levels
-- only: luajit21
-- expect: refused
local try, all_functions = require "try", require "functions"

function main(env, con)
  local attempts = {}
  for name, f in pairs(all_functions(con)) do
    attempts["get " .. name] = function() return rawequal(getfenv(f), _G) == false end
    attempts["debug get " .. name] = function() return rawequal(debug.getfenv(f), _G) == false end
    attempts["set " .. name] = function() setfenv(f, {}) return true end
    attempts["debug set " .. name] = function() debug.setfenv(f, {}) return true end
  end
  attempts.thread = function() return debug.getfenv(coroutine.create(main)) end
  attempts["set thread"] = function() debug.setfenv(coroutine.create(main), {}) return true end
  attempts.zero = function() setfenv(0, {}) return true end
  for level = 2, 60 do
    attempts["level " .. level] = function()
      local ok, found = pcall(getfenv, level)
      return ok and not rawequal(found, _G)
    end
  end
  try(con, attempts)
end
