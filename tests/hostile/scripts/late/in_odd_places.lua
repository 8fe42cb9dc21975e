-- attack: use for the first time what comes late in callbacks, metamethods, handlers, iterators and coroutines
-- expect: 200 alive
function main(env, con)
  local unsorted = { 3, 1, 2 }
  local object = setmetatable({}, {
    __index = function() return debug.getinfo(1).what end,
    __tostring = function() return tostring({}) .. ("%-5s"):format("x") end,
    __concat = function() return io.type(io.stdout) end,
    __len = function() return math.floor(collectgarbage("count")) end,
    __call = function() return os.setlocale() end,
  })
  assert(("x"):gsub(".", function() return debug.traceback("x"):sub(1, 1) end) == "x")
  table.sort(unsorted, function(a, b) collectgarbage("step") return a < b end)
  assert(object.x and tostring(object) and object() == "C")
  assert(object .. "x" == "file")
  assert(select(2, xpcall(error, function() return package.searchpath("none", "?") == nil end)) == true
    or true)
  for _ in function(_, at) if not at then return os.remove("x") == nil end end do break end
  assert(coroutine.wrap(function() return debug.getlocal(1, 1) == nil end)() ~= nil)
  pcall(load or loadstring, function() return debug.traceback("x") end)
  con:puts("alive")
end
