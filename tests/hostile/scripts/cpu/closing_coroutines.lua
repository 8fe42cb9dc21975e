-- attack: loop in what runs when a coroutine is closed
-- only: lua54 lua55
-- expect: budget cpu
function main()
  local text = [[
    local meta = { __close = function() while true do end end }
    while true do
      local thread = coroutine.create(function()
        local x <close> = setmetatable({}, meta)
        coroutine.yield()
      end)
      coroutine.resume(thread)
      pcall(coroutine.close, thread)
    end
  ]]
  load(text)()
end
