-- attack: set variables that are to be closed, and share loops' variables, before they are used
-- only: lua54 lua55
-- expect: 200 alive
function main(env, con)
  for _, value in ipairs { 1, "x", {}, print, false } do
    local f = load([[
      local value = ...
      local first <close> = setmetatable({}, { __close = print })
      local second <const> = 5
      for index = 1, 10 do
        local function g() return index, first, second end
        for at = 1, 3 do
          pcall(debug.setupvalue, g, at, value)
          for other = 1, 3 do pcall(debug.upvaluejoin, g, at, g, other) end
        end
        for at = 1, 20 do pcall(debug.setlocal, 1, at, value) end
      end
    ]])
    pcall(f, value)
    pcall(coroutine.wrap(f), value)
    local thread = coroutine.create(load("local x <close> = setmetatable({}, { __close = print }) coroutine.yield()"))
    coroutine.resume(thread)
    for at = 1, 5 do pcall(debug.setlocal, thread, 1, at, value) pcall(debug.setlocal, thread, 0, at, value) end
    coroutine.close(thread)
    collectgarbage()
  end
  con:puts("alive")
end
