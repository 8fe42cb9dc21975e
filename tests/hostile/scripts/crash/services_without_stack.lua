-- attack: use every service of the farm at the very end of the stack
-- expect: 200 alive or 500 stack overflow or budget cpu
local luafarm, json = require "luafarm", require "json"

function main(env, con)
  local services = {
    function() con:puts("") end, function() con:header("X-A", "1") end, function() con:flush() end,
    function() print("x") end, function() luafarm.sleep(0) end, function() luafarm.now() end,
    function() json.decode("[[1]]") end, function() coroutine.wrap(print)() end,
    function() pcall(print) end, function() tostring({}) end, function() require("none") end,
    function() table.sort({ 3, 2, 1 }, function(a, b) return a < b end) end,
    function() luafarm.read("none") end, function() (load or loadstring)("return 1") end,
  }
  for _, service in ipairs(services) do
    local function dive()
      pcall(service)
      return 1 + dive()
    end
    pcall(dive)
    pcall(coroutine.wrap(function() dive() end))
  end
  con:puts("alive")
end
