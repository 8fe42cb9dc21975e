-- attack: use every service of the farm at the very end of the stack
-- expect: 200 alive or budget memory
local luafarm, json = require "luafarm", require "json"

function main(env, con)
  local deepest
  local services = {
    function() con:puts("") end, function() con:header("X-A", "1") end, function() con:flush() end,
    function() print("x") end, function() luafarm.sleep(0) end, function() luafarm.now() end,
    function() json.decode("[[1]]") end, function() coroutine.wrap(print)() end,
    function() pcall(print) end, function() tostring({}) end, function() require("none") end,
    function() table.sort({ 3, 2, 1 }, function(a, b) return a < b end) end,
    function() luafarm.read("none") end, function() (load or loadstring)("return 1") end,
  }
  local function dive(level, from, service)
    deepest = level
    if level > from then pcall(service) end
    return 1 + dive(level + 1, from, service)
  end
  pcall(dive, 1, math.huge)
  local from = deepest - 50
  for _, service in ipairs(services) do
    pcall(dive, 1, from, service)
    pcall(coroutine.wrap(function() dive(1, from, service) end))
  end
  con:puts("alive")
end
