-- attack: loop in a coroutine, which has no hook of the main one
-- expect: budget cpu
function main()
  while true do pcall(coroutine.wrap(function() while true do end end)) end
end
