-- `table` of sandboxed scripts. Objects with metamethods work as in the Lua at hand. The C
-- loops of Lua 5.2 and later take their length from `__len`, which may say anything: what
-- shifts or sorts elements of such a table is done here in Lua, where a stop reaches it. And
-- everywhere the length of a table with gaps may be any of its borders, however far out: what
-- shifts or moves elements has a limit.
--
-- Provides: position_of, table.
local T = ...
local native, real = T.native, T.library.table
local error, ipairs, rawget = native.error, native.ipairs, native.rawget
local select, tonumber, type = native.select, native.tonumber, native.type
local counted, getinfo = T.counted, T.library.debug.getinfo
local whole = T.whole
local metatable_of = T.library.debug.getmetatable  -- whatever `__metatable` says

local MAX_MOVE = 10000000  -- elements of one table.move: 50 ms
-- The native sort of LuaJIT and 5.2 can be made to compare each with each, in one call of C.
local IS_SQUARE, MAX_SQUARE = T.version <= 5.2, 2048
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
  T.stubs(library, "tables", "foreach foreachi")
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

function T.position_of(value, name, above)
  local at = tonumber(value)
  if not at then expected(2, "table." .. name, "number", value, false, above or 1) end
  return at
end

function library.insert(t, ...)
  local count = select("#", ...)
  if count == 1 and type(t) == "table" then return insert(t, ...) end
  if type(t) ~= "table" then expected(1, "table.insert", "table", t, t == nil and count == 0) end
  if count == 0 or count > 2 then error("wrong number of arguments to 'insert'", 2) end
  if count > 1 then
    if count == 2 and has_length(t) then
      T.late("tables").insert_at(t, ...)
      return
    end
    limit(t, (...), "insert")
    if count == 2 and T.version >= 5.2 then
      local at = T.position_of((...), "insert")
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
    if has_length(t) then return (T.late("tables").remove_at(t, (...))) end
    limit(t, (...), "remove")
    if T.version >= 5.2 then
      local at, size = T.position_of((...), "remove"), length(t)
      if at % 1 == 0 and at ~= size and not (at >= 1 and at <= size + 1) then
        argument(T.version < 5.5 and 1 or 2, "table.remove", "position out of bounds")
      end
    end
  end
  return remove(t, ...)
end

-- A comparison in C would let no hook fire.
function library.sort(t, less)
  if type(t) ~= "table" then expected(1, "table.sort", "table", t, t == nil and less == nil) end
  if less ~= nil and type(less) ~= "function" then
    expected(2, "table.sort", "function", less)
  end
  if less == nil then
    if has_length(t) then return T.late("tables").sort_object(t) end
    if IS_SQUARE and length(t) > MAX_SQUARE then return T.late("tables").sort_long(t, 1, length(t)) end
    return sort(t)
  end
  if type(less) == "function" and getinfo(less, "S").what == "C" then
    local native_less = less
    less = function(a, b) return (native_less(a, b)) end
  end
  if T.is51 then return counted(sort, t, less) end
  if has_length(t) then return T.late("tables").sort_object(t, less) end
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
