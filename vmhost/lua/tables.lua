-- `table` of sandboxed scripts. The C loops of Lua 5.2 and later take their length from
-- metamethods, so there tables with such metamethods are refused; and everywhere the
-- length of a table with gaps may be any of its borders, however far out: what shifts or
-- moves elements has a limit.
--
-- Provides: table.
local T = ...
local native, real = T.native, T.library.table
local error, ipairs, rawget = native.error, native.ipairs, native.rawget
local select, tonumber, type = native.select, native.tonumber, native.type
local counted, getinfo, whole = T.counted, T.library.debug.getinfo, T.whole
local metatable_of = T.library.debug.getmetatable  -- whatever `__metatable` says

local MAX_MOVE = 10000000  -- elements of one table.move: 50 ms
local MAX_SHIFT = 1000000  -- of one insert or remove: 10 ms, with gaps 300 ms
local ACCESS = { "__len", "__index", "__newindex" }

local function plain(t, name, level)
  if type(t) ~= "table" then
    error("bad argument #1 to '" .. name .. "' (table expected, got " .. type(t) .. ")", level)
  end
  local meta = metatable_of(whole(t))
  if meta == nil then return end
  for _, key in ipairs(ACCESS) do
    if rawget(meta, key) ~= nil then
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
      if type(t) ~= "table" or metatable_of(t) ~= nil then plain(t, name, 3) end
      return f(t, ...)
    end
  end
else
  library.unpack = nil  -- `unpack` is a global in the 5.1 language
  function library.foreach(t, f)
    for key, value in native.next, whole(t) do
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

local length = native.rawlen or function(t) return #t end

local function limit(t, position, name)
  local from = tonumber(position)
  if from and type(t) == "table" then
    if T.is51 and from >= 2 ^ 31 then
      from = -2 ^ 31  -- what C makes of a position that is no 32-bit integer
    end
    if not (length(t) - from <= MAX_SHIFT) then  -- or NaN
      error("bad argument #1 to '" .. name .. "' (too many elements to shift)", 3)
    end
  end
end

local insert, remove, sort = library.insert, library.remove, library.sort

function library.insert(t, ...)
  if select("#", ...) > 1 then limit(t, (...), "insert") end
  return insert(t, ...)
end

function library.remove(t, ...)
  if select("#", ...) > 0 then limit(t, (...), "remove") end
  return remove(t, ...)
end

-- A comparison in C would let no hook fire.
function library.sort(t, less)
  if less == nil then return sort(t) end
  if type(less) == "function" and getinfo(less, "S").what == "C" then
    local native_less = less
    less = function(a, b) return (native_less(a, b)) end
  end
  if T.is51 then return counted(sort, t, less) end
  return sort(t, less)
end

if real.move then
  local move = real.move
  function library.move(from, first, last, at, to)
    plain(from, "move", 3)
    if to ~= nil then plain(to, "move", 3) end
    local low, high = tonumber(first), tonumber(last)
    -- LuaJIT takes what is no 32-bit integer for its least one
    if low and high and not (high * 1.0 - low <= MAX_MOVE
      and (not T.jit or (low >= -2 ^ 31 and high < 2 ^ 31))) then
      error("bad argument #3 to 'move' (too many elements to move)", 2)
    end
    if to == nil then return move(from, first, last, at) end
    return move(from, first, last, at, to)
  end
end
