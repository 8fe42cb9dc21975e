-- attack: reach LuaJIT's own libraries, to switch the compiler on or to look into functions
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "jit", "jit.opt", "jit.util", "jit.profile", "jit.v", "jit.dump",
    "string.buffer", "table.new", "table.clear", "table.nkeys", "table.clone", "thread.exdata" } do
    attempts["require " .. name] = function() return require(name) end
    attempts["loaded " .. name] = function() return package.loaded[name] end
    attempts["preload " .. name] = function() return package.preload[name] end
  end
  attempts.global = function() return jit end
  try(con, attempts)
end
