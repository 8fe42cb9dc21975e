-- attack: ask the farm inside callbacks, iterators, metamethods and message handlers
-- expect: 200 alive
local luafarm = require "luafarm"

function main(env, con)
  local function ask() luafarm.sleep(0) return luafarm.read("none") end
  local object = setmetatable({}, { __index = ask, __newindex = ask, __call = ask, __len = ask,
    __concat = ask, __eq = ask, __lt = ask, __tostring = function() ask() return "" end,
    __pairs = function() ask() return next, {}, nil end, __close = ask })
  for _, attempt in ipairs {
    function() table.sort({ 3, 2, 1 }, ask) end,
    function() ("abc"):gsub(".", ask) end,
    function() return object.x end, function() object.x = 1 end, function() object() end,
    function() return #object end, function() return object .. object end,
    function() return object == setmetatable({}, getmetatable(object)) end,
    function() return object < object end, function() return tostring(object) end,
    function() for _ in pairs(object) do end end,
    function() for _ in ask do break end end,
    function() for _ in coroutine.wrap(ask) do break end end,
    function() xpcall(error, ask) end,
    function() (load or loadstring)(ask) end,
    function() pcall(pcall, pcall, ask) end,
    function() coroutine.wrap(coroutine.wrap(ask))() end,
    function() coroutine.wrap(function() pcall(function() xpcall(ask, ask) end) end)() end,
  } do
    pcall(attempt)
  end
  con:puts("alive")
end
