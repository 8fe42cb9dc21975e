-- `table` of sandboxed scripts: the C loops of Lua 5.2 and later take their length from
-- metamethods, so there tables with such metamethods are refused.
local T = ...
local native, real = T.native, T.library.table
local error, getmetatable, ipairs = native.error, native.getmetatable, native.ipairs
local rawget, type = native.rawget, native.type
local counted = T.counted

local MAX_MOVE = 10000000  -- elements of one table.move: 50 ms
local ACCESS = { "__len", "__index", "__newindex" }

local function plain(t, name, level)
  if type(t) ~= "table" then
    error("bad argument #1 to '" .. name .. "' (table expected, got " .. type(t) .. ")", level)
  end
  local meta = getmetatable(t)
  if meta == nil then return end
  for _, key in ipairs(ACCESS) do
    if type(meta) ~= "table" or rawget(meta, key) ~= nil then
      error("bad argument #1 to '" .. name .. "' (table with access metamethods)", level)
    end
  end
end

local library = {}
T.table = library
for _, name in ipairs { "concat", "insert", "pack", "remove", "sort", "unpack", "create",
  "maxn", "getn" } do
  library[name] = real[name]
end

if T.version >= 5.2 then
  library.maxn = nil  -- 5.2 only, deprecated there
  for _, name in ipairs { "concat", "insert", "remove", "sort" } do
    local f = real[name]
    library[name] = function(t, ...)
      if getmetatable(t) ~= nil or type(t) ~= "table" then plain(t, name, 3) end
      return f(t, ...)
    end
  end
else
  library.unpack = nil  -- `unpack` is a global in the 5.1 language
  local sort = real.sort
  function library.sort(t, less)
    if less == nil then return sort(t) end
    return counted(sort, t, less)
  end
  function library.foreach(t, f)
    for key, value in native.next, t do
      local result = f(key, value)
      if result ~= nil then return result end
    end
  end
  function library.foreachi(t, f)
    for index = 1, #t do
      local result = f(index, t[index])
      if result ~= nil then return result end
    end
  end
end

if real.move then
  local move = real.move
  function library.move(from, first, last, at, to)
    plain(from, "move", 3)
    if to ~= nil then plain(to, "move", 3) end
    if type(first) == "number" and type(last) == "number" and last - first > MAX_MOVE then
      error("bad argument #3 to 'move' (too many elements to move)", 2)
    end
    if to == nil then return move(from, first, last, at) end
    return move(from, first, last, at, to)
  end
end
