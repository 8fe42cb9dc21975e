-- attack: make modules of the farm's tables and environments of the farm's functions by module and seeall
-- only: luajit21
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for name, t in pairs { con = con, luafarm = require "luafarm", json = require "json", cookies = require "luafarm.cookies" } do
    attempts[name] = function() package.loaded["x." .. name] = t module("x." .. name) return true end
    attempts["seeall " .. name] = function() package.seeall(t) return rawget(t, "__index") or getmetatable(t) end
    attempts["inside " .. name] = function() _G.inside = t module("inside." .. name .. ".x") return true end
    attempts["option " .. name] = function() module("y", function(m) setmetatable(m, { __index = t }) m.puts.x = 1 end) return true end
  end
  attempts.callback = function() ("x"):gsub("x", module) return getfenv(con.puts) ~= _G end
  attempts.call = function() pcall(module, "z") return getfenv(pcall) ~= _G or getfenv(string.format) ~= _G end
  attempts.coroutine = function() coroutine.wrap(module)("z") return getfenv(coroutine.wrap(print)) ~= _G end
  try(con, attempts)
end
