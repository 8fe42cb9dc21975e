-- attack: make userdata with a finalizer, or reach the metatable that a proxy really has
-- expect: refused
local try = require "try"

local ran = false
local function finalizer() ran = true end

local function proxies(change)
  for _ = 1, 50 do change(newproxy(true)) end
  collectgarbage()
  collectgarbage()
  return ran
end

function main(env, con)
  try(con, {
    set = function()
      return proxies(function(p) getmetatable(p).__gc = finalizer end)
    end,
    set_by_rawset = function()
      return proxies(function(p) rawset(getmetatable(p), "__gc", finalizer) end)
    end,
    set_by_debug = function()
      return proxies(function(p) rawset(debug.getmetatable(p), "__gc", finalizer) end)
    end,
    unveiled = function()
      local p = newproxy(true)
      local meta = getmetatable(p)
      meta.__metatable = false
      return getmetatable(p) ~= meta or debug.getmetatable(p) ~= meta
    end,
    replaced = function() return debug.setmetatable(newproxy(true), {}) end,
    of_a_file = function() return newproxy(io.stdout) end,
    forwarder = function()
      local told
      local p = newproxy(true)
      getmetatable(p).__index = function()
        told = debug.getinfo(2, "f")
        local name = debug.getlocal(2, 1)
        return name
      end
      local name = p.x
      return name == "proxy"
    end,
  })
end
