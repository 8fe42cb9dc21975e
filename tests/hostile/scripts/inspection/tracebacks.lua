-- attack: tracebacks with hostile messages, levels and threads, as message handlers too
-- expect: 200 alive
function main(env, con)
  local object = setmetatable({}, { __tostring = error, __concat = error, __index = error, __name = ("x"):rep(1e6) })
  for _, message in ipairs { object, print, true, 0 / 0, ("x"):rep(1e6), "\0%s%n", coroutine.create(main) } do
    for _, level in ipairs { 0, 1, -1, 1e300, 0 / 0, "1" } do
      pcall(debug.traceback, message, level)
      pcall(debug.traceback, coroutine.create(main), message, level)
    end
    pcall(xpcall, error, debug.traceback, message)
    xpcall(function() error(message) end, debug.traceback)
  end
  local dead = coroutine.create(error)
  coroutine.resume(dead, object)
  if debug.traceback(dead):find("luafarm:", 1, true) then con:puts("ESCAPED: lines of ours") end
  xpcall(function() string.rep() end, function(m) if debug.traceback(m):find("luafarm:", 1, true) then con:puts("ESCAPED") end end)
  local function deep(n) return n > 0 and 1 + deep(n - 1) or #debug.traceback(("x"):rep(1000)) end
  deep(2000)
  con:puts("alive")
end
