-- attack: have module() of Lua 5.2 set the globals of the farm's functions, or write into the farm's tables
-- only: lua52
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts, loaded, globals = {}, package.loaded, _G
  local function run(code, ...)  -- with globals of its own, which module() may set
    return load(code, "=x", "t", setmetatable({}, { __index = globals }))(...)
  end
  for name, t in pairs { con = con, luafarm = require "luafarm", json = require "json", cookies = require "luafarm.cookies" } do
    attempts[name] = function()
      loaded["x." .. name] = t
      return run("module(...) return true", "x." .. name)
    end
    attempts["inside " .. name] = function()
      globals.inside = t
      return run("module(...) return true", "inside." .. name .. ".x")
    end
    attempts["seeall " .. name] = function() package.seeall(t) return t.setmetatable end
  end
  attempts.callback = function() return (string.gsub("x", "x", module)) ~= nil end
  attempts.call = function() return pcall(module, "z") end
  attempts.coroutine = function() coroutine.wrap(module)("z") return true end
  attempts.tail = function() return pcall(run, "return module('z')") end
  attempts.metamethod = function() return setmetatable({}, { __index = module }).z end
  attempts.loader = function()
    package.preload.w = function() return module("w") end
    return require "w"
  end
  attempts.sorted = function() table.sort({ "a", "b", "c" }, module) return true end
  attempts.said = function() return tostring(setmetatable({}, { __tostring = module })) end
  try(con, attempts)
  if tostring(1) ~= "1" or require("json").encode({ 1 }) ~= "[1]" or ("%d"):format(1) ~= "1" then
    con:puts("ESCAPED")
  end
end
