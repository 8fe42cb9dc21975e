-- attack: get or change the metatable of file handles, which all of them share
-- expect: refused
local try = require "try"

function main(env, con)
  local file, attempts = io.open("../canary.lua"), {}
  for name, handle in pairs { stdin = io.stdin, stdout = io.stdout, stderr = io.stderr, file = file } do
    attempts["get " .. name] = function() return getmetatable(handle) end
    attempts["debug get " .. name] = function() return debug.getmetatable(handle) end
    attempts["set " .. name] = function() setmetatable(handle, {}) return true end
    attempts["debug set " .. name] = function() return debug.setmetatable(handle, { __gc = main }) end
    attempts["assign " .. name] = function() handle.read = print return true end
    attempts["rawset " .. name] = function() rawset(handle, "read", print) return true end
    attempts["rawget " .. name] = function() return rawget(handle, "read") end
    attempts["walk " .. name] = function() for _ in pairs(handle) do return true end end
    attempts["uservalue " .. name] = function() return debug.getuservalue(handle, 1) end
    attempts["set uservalue " .. name] = function() debug.setuservalue(handle, {}, 1) return true end
    attempts["environment " .. name] = function() return debug.getfenv(handle) end
    attempts["set environment " .. name] = function() debug.setfenv(handle, {}) return true end
    attempts["methods " .. name] = function() return handle.__index or handle.__metatable or handle.__gc end
  end
  try(con, attempts)
end
