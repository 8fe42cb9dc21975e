-- attack: tracebacks of the deepest stack there is, again and again
-- expect: budget cpu
function main()
  local function f(n) return 1 + f(n + 1) end
  while true do xpcall(f, debug.traceback, 1) pcall(f, 1) end
end
