-- attack: get hold of the coroutine in which the farm runs the script
-- expect: refused
local try = require "try"

function main(env, con)
  local thread = coroutine.running()
  try(con, {
    resume = function() return thread and coroutine.resume(thread) end,
    wrap = function() return thread and coroutine.wrap(thread)() end,
    close = function() return thread and coroutine.close(thread) end,
    yieldable = function() return coroutine.isyieldable and coroutine.isyieldable() end,
    yield = function() coroutine.yield("ESCAPED") return true end,
    from_inside = function()
      return coroutine.wrap(function() return thread and coroutine.resume(thread) end)()
    end,
  })
end
