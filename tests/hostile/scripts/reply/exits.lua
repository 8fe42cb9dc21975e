-- attack: go on after os.exit, in every callback, coroutine, handler and metamethod
-- expect: 200 put
-- asks: 18
local at = 0

function main(env, con)
  at = at + 1
  con:puts("put")
  local function leave() os.exit(true, true) con:puts("ESCAPED") end
  local object = setmetatable({}, { __index = leave, __tostring = leave, __call = leave, __concat = leave, __lt = leave, __len = leave })
  local ways = {
    leave, function() pcall(leave) end, function() while true do pcall(leave) end end, function() xpcall(leave, function() con:puts("ESCAPED") end) end,
    function() xpcall(error, leave) end, function() coroutine.wrap(leave)() end, function() coroutine.resume(coroutine.create(leave)) end,
    function() pcall(coroutine.wrap(function() pcall(leave) end)) end, function() ("x"):gsub("x", leave) end, function() table.sort({ 3, 2, 1 }, leave) end,
    function() return object.x end, function() tostring(object) end, function() return object .. "x" end, function() (load or loadstring)(leave) end,
    function() package.preload.leaves = leave require "leaves" end, function() for _ in leave do end end,
    function() pcall(pcall, pcall, os.exit) end, function() for _ = 1, 100 do pcall(os.exit, _) end end,
  }
  ways[at]()
  con:puts("ESCAPED")
end
