-- attack: reach what the debug library must not give, under any of its names
-- expect: refused
local try = require "try"

function main(env, con)
  local libraries = { global = debug, loaded = package.loaded.debug, required = require "debug",
    text = (load or loadstring)("return debug")() }
  local attempts = {}
  for name, library in pairs(libraries) do
    attempts["upvalue by " .. name] = function() return library.getupvalue(con.puts, 1) end
    attempts["registry by " .. name] = function() return library.getregistry() end
    attempts["hook by " .. name] = function() return library.gethook() end
    attempts["metatable by " .. name] = function() return library.getmetatable(con) end
    attempts["another by " .. name] = function() return library ~= debug end
  end
  try(con, attempts)
end
