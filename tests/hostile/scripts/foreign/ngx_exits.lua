-- attack: go on after ngx.exit and ngx.redirect, in protected calls, coroutines and handlers
-- expect: 200 put
-- asks: 8
at = (at or 0) + 1
ngx.print("put")
local function leave() ngx.exit(200) ngx.print("ESCAPED") end
local ways = {
  leave, function() pcall(leave) end, function() coroutine.wrap(leave)() end, function() pcall(coroutine.wrap(function() pcall(leave) end)) end,
  function() xpcall(leave, function() ngx.print("ESCAPED") end) end, function() pcall(string.gsub, "x", "x", leave) ngx.exit(200) end,
  function() pcall(table.sort, { 2, 1 }, leave) leave() end, function() for _ in coroutine.wrap(leave) do end end,
}
ways[at]()
ngx.print("ESCAPED")
