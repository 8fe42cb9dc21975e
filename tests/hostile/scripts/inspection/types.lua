-- attack: set metatables of whole types, and get the registry
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = { registry = function() return debug.getregistry() end }
  for name, value in pairs { number = 1, truth = true, f = print, own = main, thread = coroutine.create(main), file = io.stdout } do
    attempts[name] = function() debug.setmetatable(value, { __index = {}, __gc = main }) return true end
    attempts["get " .. name] = function() return debug.getmetatable(value) or getmetatable(value) end
  end
  attempts["nil"] = function() debug.setmetatable(nil, { __index = {} }) return true end
  for name, t in pairs { con = con, luafarm = require "luafarm", json = require "json", null = require("json").null } do
    attempts[name] = function() debug.setmetatable(t, nil) return true end
    attempts["get " .. name] = function() return debug.getmetatable(t) end
  end
  local locked = setmetatable({}, { __metatable = "locked" })
  attempts.locked = function() debug.setmetatable(locked, {}) return true end
  attempts["get locked"] = function() return debug.getmetatable(locked) ~= "locked" end
  try(con, attempts)
end
