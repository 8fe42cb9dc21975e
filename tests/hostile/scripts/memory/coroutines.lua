-- attack: coroutines without end, each with a stack
-- expect: budget memory
function main()
  local t = {}
  for index = 1, 1e9 do
    t[index] = coroutine.wrap(function(...) coroutine.yield(...) end)
    t[index](1, 2, 3)
  end
end
