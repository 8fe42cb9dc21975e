-- attack: objects with false lengths and functions of C as metamethods, so that loops of C run long
-- expect: 200 alive or budget memory
function main(env, con)
  local u = table.unpack or unpack
  for _, f in ipairs { type, tostring, rawequal, select, print, math.max, io.type, debug.gethook, os.time } do
    local object = setmetatable({}, { __index = f, __newindex = f, __len = function() return 2 ^ 53 end, __lt = f, __concat = f, __call = f })
    local short = setmetatable({ 1, 2, 3 }, { __index = f, __newindex = f, __len = function() return 1e6 end })
    for _, use in ipairs { function() table.concat(object) end, function() table.concat(object, "", 1, 1e5) end, function() u(object) end, function() u(short) end,
      function() table.insert(object, 1, 1) end, function() table.remove(object, 1) end, function() table.sort(short, f) end,
      function() table.move(object, 1, 1e7 - 1, 1) end, function() table.move(short, 1, 1e6, 2, object) end,
      function() ("x"):rep(object) end, function() return #object + 1 end, function() for _ in ipairs(short) do break end end } do
      if f == type or use then pcall(coroutine.wrap(function() pcall(use) end)) end
      break
    end
  end
  local cheap = setmetatable({}, { __index = type, __newindex = type, __len = function() return 1e6 end })
  pcall(table.move or print, cheap, 1, 1e6, 1)
  pcall(table.concat, cheap, "", 1, 1e5)
  pcall(table.sort, cheap)
  pcall(table.insert, cheap, 1, "x")
  con:puts("alive")
end
