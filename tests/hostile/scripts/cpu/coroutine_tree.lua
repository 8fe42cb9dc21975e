-- attack: a tree of coroutines that catch everything
-- expect: budget cpu
function main()
  local function f() pcall(coroutine.wrap(f)) pcall(coroutine.wrap(f)) end
  while true do f() end
end
