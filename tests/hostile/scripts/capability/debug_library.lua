-- attack: reach the debug library under any name
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    global = function() return debug end,
    loaded = function() return package.loaded.debug end,
    required = function() return require "debug" end,
    traceback = function() return debug.traceback() end,
    hook = function() debug.sethook() return true end,
    upvalue = function() return debug.getupvalue(con.puts, 1) end,
    registry = function() return debug.getregistry() end,
    loaded_by_text = function() return (load or loadstring)("return debug")() end,
  })
end
