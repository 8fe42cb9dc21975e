-- attack: code that runs when an object is collected, by every function that sets a metatable
-- expect: refused
local try = require "try"

function main(env, con)
  local ran
  local meta = { __gc = function() ran = true end, __mode = "k", __index = {} }
  local function collected(make)
    return function()
      make()
      for _ = 1, 3 do collectgarbage() end
      return ran
    end
  end
  try(con, {
    set = collected(function() setmetatable({}, meta) end),
    again = collected(function() local t = setmetatable({}, { __gc = false }) setmetatable(t, nil) setmetatable(t, meta) end),
    debug = collected(function() debug.setmetatable({}, meta) end),
    twice = collected(function() debug.setmetatable(setmetatable({}, meta), meta) end),
    string = collected(function() debug.setmetatable("", meta) debug.setmetatable("", { __index = string }) end),
    weak = collected(function() setmetatable({}, { __mode = "v" })[1] = setmetatable({}, meta) end),
    raised = collected(function() pcall(setmetatable, setmetatable({}, { __metatable = 1 }), meta) end),
    proxied = collected(function() setmetatable({}, setmetatable({ __gc = meta.__gc }, { __newindex = error })) end),
    coroutine = collected(function() coroutine.wrap(function() setmetatable({}, meta) coroutine.yield() end)() end),
    module = collected(function() package.loaded.m = setmetatable({}, meta) if module then module("m", package.seeall) end package.loaded.m = nil end),
    file = collected(function() io.open("../canary.lua") end),
    stopped = collected(function() pcall(error, setmetatable({}, meta)) end),
    kept = function()
      meta.kept = setmetatable({}, meta)
      return ran
    end,
  })
end
