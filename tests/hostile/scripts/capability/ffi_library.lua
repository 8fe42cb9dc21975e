-- attack: reach LuaJIT's ffi by require, preload and package.loaded
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    global = function() return ffi end,
    loaded = function() return package.loaded.ffi end,
    preload = function() return package.preload.ffi end,
    required = function() return require "ffi" end,
    system = function() return require("ffi").C.getpid() end,
  })
end
