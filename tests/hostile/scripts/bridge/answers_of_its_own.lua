-- attack: resume a coroutine that waits for the farm, with an answer of the script's own
-- expect: 200 refused
local luafarm = require "luafarm"

function main(env, con)
  local thread = coroutine.create(function() return luafarm.read("forged.txt") end)
  local results = { coroutine.resume(thread, true, "ESCAPED") }
  coroutine.resume(thread, true, "ESCAPED")
  coroutine.resume(thread, "ESCAPED")
  for _, value in ipairs(results) do
    if value == "ESCAPED" then con:puts("ESCAPED") end
  end
  con:puts("refused")
end
