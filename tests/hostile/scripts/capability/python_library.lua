-- attack: reach Python through lupa's module
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    global = function() return python end,
    loaded = function() return package.loaded.python end,
    required = function() return require "python" end,
    eval = function() return python.eval("__import__('os').getpid()") end,
    builtins = function() return python.builtins.open("/etc/passwd").read() end,
    iter = function() return python.iter end,
    lupa = function() return require "lupa" end,
  })
end
