-- attack: open and read files inside callbacks, iterators, metamethods and message handlers
-- expect: 200 alive
function main(env, con)
  local function use()
    for _ in io.lines("../canary.lua") do break end
    local file = io.open("../canary.lua")
    file:read("*a")
    io.input(file)
    return io.read()
  end
  local object = setmetatable({}, { __index = use, __call = use, __len = use, __tostring = function() use() return "" end })
  for _, attempt in ipairs {
    function() table.sort({ 3, 2, 1 }, use) end, function() ("abc"):gsub(".", use) end,
    function() return object.x end, function() return object() end, function() return #object end,
    function() return tostring(object) end, function() xpcall(error, use) end,
    function() (load or loadstring)(use) end, function() coroutine.wrap(use)() end,
    function() for _ in use do break end end, function() error(object) end,
  } do
    pcall(attempt)
    collectgarbage()
  end
  con:puts("alive")
end
