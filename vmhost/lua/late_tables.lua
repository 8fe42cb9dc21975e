-- What `table` does with objects that have metamethods, and functions of Lua 5.0 that LuaJIT
-- still has: in Lua, where a stop reaches it.
local T = ...
local native = T.native
local error, type = native.error, native.type
local floor = T.library.math.floor
local argument, position_of, sort, whole = T.argument, T.position_of, T.library.table.sort, T.whole

-- Access to elements: past metamethods in 5.2, through them later.
local get, set = native.rawget, native.rawset
if T.version >= 5.3 then
  function get(t, index) return t[index] end
  function set(t, index, value) t[index] = value end
end

local MAX_SHIFT = 1000000  -- elements of one insert or remove

local function limit(count, name)
  if count > MAX_SHIFT then
    error("bad argument #1 to '" .. name .. "' (too many elements to shift)", 4)
  end
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
  limit(last - at, "insert")
  for index = last, at + 1, -1 do set(t, index, get(t, index - 1)) end
  set(t, at, value)
end

local function remove_at(t, position)
  local size, at = #t, position_of(position, "remove", 2)
  if size + 1 ~= at and not (at >= 1 and at <= size + 1) and not (size == 0 and at == 0) then
    argument(T.version < 5.5 and 1 or 2, "table.remove", "position out of bounds", 1)
  end
  limit(size - at, "remove")
  local removed = get(t, at)
  while at < size do
    set(t, at, get(t, at + 1))
    at = at + 1
  end
  set(t, at, nil)
  return removed
end

-- Sort t[first] to t[last] by `<`: parted here by pivots that nobody can foresee, up to runs
-- which the native sort cannot take long for.
local RUN, DISORDER = 2048, "invalid order function for sorting"
local guess = T.config.address + 1
local function sort_long(t, first, last)
  while last - first >= RUN do
    guess = guess * 16807 % 2147483647  -- Park and Miller, CACM 31 (1988)
    local pivot = t[first + floor(guess / 2147483647 * (last - first + 1))]
    local from, to = first, last
    while from <= to do
      while t[from] < pivot do
        from = from + 1
        if from > last then error(DISORDER, 0) end
      end
      while pivot < t[to] do
        to = to - 1
        if to < first then error(DISORDER, 0) end
      end
      if from <= to then
        t[from], t[to] = t[to], t[from]
        from, to = from + 1, to - 1
      end
    end
    if to - first < last - from then
      sort_long(t, first, to)
      first = from
    else
      sort_long(t, from, last)
      last = to
    end
  end
  local run = {}
  for index = first, last do run[index - first + 1] = t[index] end
  sort(run)
  for index = first, last do t[index] = run[index - first + 1] end
end

-- In a plain table, as the native sort would ask `__index` from C for each comparison.
local function sort_object(t, less)
  local copy, size = {}, #t
  for index = 1, size do
    copy[index] = get(t, index)
    if copy[index] == nil and size > 1 then error("attempt to compare two nil values", 0) end
  end
  if less == nil then sort_long(copy, 1, size) else sort(copy, less) end
  for index = 1, size do set(t, index, copy[index]) end
end

local tables = { insert_at = insert_at, remove_at = remove_at, sort_object = sort_object,
  sort_long = sort_long }

local function check(t, f, name)
  if type(t) ~= "table" then T.expected(1, "table." .. name, "table", t, t == nil and f == nil, 2) end
  if type(f) ~= "function" then T.expected(2, "table." .. name, "function", f, f == nil, 2) end
end
-- These two are called by stubs (late.lua): levels count them.
function tables.foreach(t, f)
  check(t, f, "foreach")
  for key, value in native.next, whole(t) do
    local result = f(key, value)
    if result ~= nil then return result end
  end
end
function tables.foreachi(t, f)
  check(t, f, "foreachi")
  for index = 1, #t do
    local result = f(index, t[index])
    if result ~= nil then return result end
  end
end

return tables
