-- attack: two coroutines that only pass control
-- expect: budget cpu
function main()
  local thread = coroutine.wrap(function() while true do coroutine.yield() end end)
  while true do thread() end
end
