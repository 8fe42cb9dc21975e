-- attack: end the reply in callbacks, metamethods, handlers and coroutines, twice in each
-- expect: 200 sent
function main(env, con)
  con:puts("sent")
  local function finish() con:finish() con:finish() con:puts("ESCAPED") end
  pcall(function() ("x"):gsub("x", function() pcall(con.finish, con) error("x") end) end)
  local object = setmetatable({}, { __index = finish, __tostring = function() finish() return "" end })
  pcall(coroutine.wrap(function() pcall(finish) end))
  for _, attempt in ipairs { function() table.sort({ 2, 1 }, finish) end, function() return object.x end, function() return tostring(object) end,
    function() xpcall(error, finish) end, function() coroutine.wrap(finish)() end, function() error(object) end } do
    pcall(attempt)
    con:reset()
  end
  pcall(finish)
end
