-- attack: reach LuaJIT's own libraries, to switch the compiler on or to look into functions
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "jit.opt", "jit.util", "jit.profile", "jit.v", "jit.dump",
    "string.buffer", "table.new", "table.clear", "table.nkeys", "table.clone", "thread.exdata" } do
    attempts["require " .. name] = function() return require(name) end
    attempts["loaded " .. name] = function() return package.loaded[name] end
    attempts["preload " .. name] = function() return package.preload[name] end
  end
  attempts.compiler = function()
    jit.on()
    jit.on(main, true)
    jit.opt.start(3, "hotloop=1")
    jit.flush()
    for _ = 1, 1000 do end
    return (jit.status())
  end
  for _, name in ipairs { "util", "profile", "attach_trace" } do
    attempts["member " .. name] = function() return jit[name] end
  end
  attempts.heard = function()
    local heard
    jit.attach(function() heard = true end, "bc")
    loadstring("return 1")()
    return heard
  end
  try(con, attempts)
end
