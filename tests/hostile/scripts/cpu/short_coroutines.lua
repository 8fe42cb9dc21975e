-- attack: coroutines so short that no hook ever counts up to its period in one
-- expect: budget cpu
function main()
  while true do coroutine.resume(coroutine.create(function() end)) end
end
