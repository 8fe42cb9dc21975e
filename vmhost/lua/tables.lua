-- `table` of sandboxed scripts. Objects with metamethods work as in the Lua at hand. The C
-- loops of Lua 5.2 and later take their length from `__len`, which may say anything: what
-- shifts or sorts elements of such a table is done here in Lua, where a stop reaches it. And
-- everywhere the length of a table with gaps may be any of its borders, however far out: what
-- shifts or moves elements has a limit.
--
-- Provides: table.
local T = ...
local native, real = T.native, T.library.table
local error, ipairs, rawget = native.error, native.ipairs, native.rawget
local select, tonumber, type = native.select, native.tonumber, native.type
local counted, getinfo = T.counted, T.library.debug.getinfo
local whole = T.whole
local metatable_of = T.library.debug.getmetatable  -- whatever `__metatable` says

local MAX_MOVE = 10000000  -- elements of one table.move: 50 ms
local MAX_SHIFT = 1000000  -- of one insert or remove: 10 ms, with gaps 300 ms

-- Whether the length of a table is what a metamethod says.
local function has_length(t)
  if T.is51 or type(t) ~= "table" then return false end
  local meta = metatable_of(t)
  return meta ~= nil and rawget(meta, "__len") ~= nil
end

local library = {}
T.table = library
for _, name in ipairs { "concat", "insert", "pack", "remove", "sort", "unpack", "create",
  "maxn", "getn" } do
  library[name] = real[name]
end

if T.version >= 5.3 then
  library.maxn = nil
elseif not library.maxn then  -- 5.2: as distributions build it
  function library.maxn(t)
    local highest = 0
    for key in native.next, t do
      if type(key) == "number" and key > highest then highest = key end
    end
    return highest
  end
end
if T.is51 then
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

local expected, argument = T.expected, T.argument

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

-- Access to elements: past metamethods in 5.2, through them later.
local get, set = native.rawget, native.rawset
if T.version >= 5.3 then
  function get(t, index) return t[index] end
  function set(t, index, value) t[index] = value end
end

local function position_of(value, name, above)
  local at = tonumber(value)
  if not at then expected(2, "table." .. name, "number", value, false, above or 1) end
  return at
end

local function insert_at(t, position, value)
  local size = #t
  if type(size) ~= "number" or size % 1 ~= 0 then
    error("object length is not " .. (T.version >= 5.3 and "an integer" or "a number"), 3)
  end
  local last, at = size + 1, position_of(position, "insert", 2)
  if not (at >= 1 and at <= last) then
    argument(2, "table.insert", "position out of bounds", 1)
  end
  for index = last, at + 1, -1 do set(t, index, get(t, index - 1)) end
  set(t, at, value)
end

local function remove_at(t, position)
  local size, at = #t, position_of(position, "remove", 2)
  if size + 1 ~= at and not (at >= 1 and at <= size + 1) and not (size == 0 and at == 0) then
    argument(T.version < 5.5 and 1 or 2, "table.remove", "position out of bounds", 1)
  end
  local removed = get(t, at)
  while at < size do
    set(t, at, get(t, at + 1))
    at = at + 1
  end
  set(t, at, nil)
  return removed
end

function library.insert(t, ...)
  local count = select("#", ...)
  if type(t) ~= "table" then expected(1, "table.insert", "table", t, t == nil and count == 0) end
  if count == 0 or count > 2 then error("wrong number of arguments to 'insert'", 2) end
  if count > 1 then
    if count == 2 and has_length(t) then
      insert_at(t, ...)
      return
    end
    limit(t, (...), "insert")
    if count == 2 and T.version >= 5.2 then
      local at = position_of((...), "insert")
      if not (at >= 1 and at <= length(t) + 1) and at % 1 == 0 then
        argument(2, "table.insert", "position out of bounds")
      end
    end
  end
  return insert(t, ...)
end

function library.remove(t, ...)
  if type(t) ~= "table" then
    expected(1, "table.remove", "table", t, t == nil and select("#", ...) == 0)
  end
  if select("#", ...) > 0 then
    if has_length(t) then return (remove_at(t, (...))) end
    limit(t, (...), "remove")
    if T.version >= 5.2 then
      local at, size = position_of((...), "remove"), length(t)
      if at % 1 == 0 and at ~= size and not (at >= 1 and at <= size + 1) then
        argument(T.version < 5.5 and 1 or 2, "table.remove", "position out of bounds")
      end
    end
  end
  return remove(t, ...)
end

-- In a plain table, as the native sort would ask `__index` from C for each comparison.
local function sort_object(t, less)
  local copy, size = {}, #t
  for index = 1, size do
    copy[index] = get(t, index)
    if copy[index] == nil and size > 1 then error("attempt to compare two nil values", 3) end
  end
  sort(copy, less)
  for index = 1, size do set(t, index, copy[index]) end
end

-- A comparison in C would let no hook fire.
function library.sort(t, less)
  if type(t) ~= "table" then expected(1, "table.sort", "table", t, t == nil and less == nil) end
  if less ~= nil and type(less) ~= "function" then
    expected(2, "table.sort", "function", less)
  end
  if less == nil then
    if has_length(t) then return sort_object(t) end
    return sort(t)
  end
  if type(less) == "function" and getinfo(less, "S").what == "C" then
    local native_less = less
    less = function(a, b) return (native_less(a, b)) end
  end
  if T.is51 then return counted(sort, t, less) end
  if has_length(t) then return sort_object(t, less) end
  return sort(t, less)
end

if real.move then
  local move = real.move
  function library.move(from, first, last, at, to)
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
