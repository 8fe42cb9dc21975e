-- attack: code that runs when an object is collected, outside of any budget
-- expect: refused
local try = require "try"

function main(env, con)
  local ran = false
  local function finalizer() ran = true end
  try(con, {
    set = function() setmetatable({}, { __gc = finalizer }) collectgarbage() return ran end,
    late = function()
      local meta = {}
      setmetatable({}, meta)
      meta.__gc = finalizer
      collectgarbage()
      return ran
    end,
    inherited = function()
      setmetatable({}, setmetatable({}, { __index = { __gc = finalizer } }))
      collectgarbage()
      return ran
    end,
    truth = function()
      local meta = { __gc = true }
      local t = setmetatable({}, meta)
      meta.__gc = finalizer
      t = nil
      collectgarbage()
      return ran
    end,
  })
end
