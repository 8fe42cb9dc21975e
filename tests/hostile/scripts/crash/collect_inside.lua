-- attack: collect garbage in the middle of everything
-- expect: 200 alive
function main(env, con)
  local meta = { __index = function() collectgarbage() return "x" end }
  for _ = 1, 5 do
    local t = setmetatable({}, meta)
    local _ = t.x .. t.y;
    ("abc"):gsub(".", function(c) collectgarbage() return c:rep(100) end)
    table.sort({ 3, 1, 2 }, function(a, b) collectgarbage() return a < b end)
    coroutine.wrap(function() collectgarbage() coroutine.yield() end)()
    pcall(load or loadstring, function() collectgarbage() return nil end)
    xpcall(error, function() collectgarbage() end)
    con:puts(tostring(setmetatable({}, { __tostring = function() collectgarbage() return "" end })))
  end
  con:puts("alive")
end
