-- attack: pass no values, nils and hundreds of values through every layer of coroutines
-- expect: 200 alive
local luafarm = require "luafarm"
local unpack = table.unpack or unpack

function main(env, con)
  local function level(depth, ...)
    if depth == 0 then
      luafarm.sleep(0)
      return coroutine.yield(...)
    end
    local thread = coroutine.wrap(level)
    return coroutine.yield(thread(depth - 1, ...))
  end
  for _, count in ipairs { 0, 1, 2, 100, 250 } do
    local thread = coroutine.wrap(level)
    thread(5, unpack({}, 1, count))
    pcall(thread, unpack({}, 1, count))
    pcall(thread)
  end
  con:puts("alive")
end
