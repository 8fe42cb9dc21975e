-- `math`, `os` and the bit libraries of sandboxed scripts.
--
-- Provides: math, os, bit, bit32, utf8.
local T = ...
local native, M, O = T.native, T.library.math, T.library.os
local error, floor, ipairs, tonumber, type = native.error, M.floor, native.ipairs, native.tonumber, native.type

local function copy(real, names)
  local library = {}
  for _, name in ipairs(names) do library[name] = real[name] end
  return library
end

T.math = copy(M, { "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg",
  "exp", "floor", "fmod", "frexp", "huge", "ldexp", "log", "log10", "max", "maxinteger",
  "min", "mininteger", "mod", "modf", "pi", "pow", "rad", "random", "randomseed", "sin",
  "sinh", "sqrt", "tan", "tanh", "tointeger", "type", "ult" })

-- As distributions build it.
local COMPAT = T.version >= 5.5 and "" or T.version == 5.2 and "log10"
  or "log10 atan2 pow cosh sinh tanh frexp ldexp"
for name in T.library.string.gmatch(COMPAT, "%w+") do
  if not T.math[name] then T.stubs(T.math, "math", name) end
end

if T.version == 5.2 or T.version == 5.3 then
  -- There random is C's rand(), one sequence for the whole process. Each state gets its
  -- own: Wichmann and Hill, Applied Statistics 31 (1982), algorithm AS 183.
  local x, y, z
  local function seed(n)
    n = floor(n) % 2 ^ 31
    x, y, z = n % 30268 + 1, floor(n / 30269) % 30306 + 1, floor(n / 7919) % 30322 + 1
  end
  local function uniform()
    x, y, z = 171 * x % 30269, 172 * y % 30307, 170 * z % 30323
    return (x / 30269 + y / 30307 + z / 30323) % 1
  end
  local function integer(value, index)
    local n = tonumber(value)
    if not n then T.expected(index, "math.random", "number", value, false, 1) end
    if T.version == 5.3 and n ~= floor(n) then
      T.argument(index, "math.random", "number has no integer representation", 1)
    end
    return n
  end
  seed(T.config.seed)
  function T.math.randomseed(n)
    local value = tonumber(n)
    if not value then T.expected(1, "math.randomseed", "number", n, n == nil) end
    seed(value == value and value or 0)
  end
  function T.math.random(low, high, ...)
    if low == nil then return uniform() end
    if native.select("#", ...) > 0 then error("wrong number of arguments", 2) end
    low = integer(low, 1)
    local single = high == nil
    if high == nil then low, high = 1, low else high = integer(high, 2) end
    if not (low <= high) then
      T.argument((single or T.version == 5.3) and 1 or 2, "math.random", "interval is empty")
    end
    return floor(low + uniform() * (high - low + 1))
  end
elseif not T.puc51 then
  local random, randomseed = M.random, M.randomseed
  randomseed(T.config.seed)  -- of this state alone, but the same for each at first
  if T.version >= 5.4 then
    -- Without a number Lua takes an address for one, and tells it.
    function T.math.randomseed(...)
      if native.select("#", ...) == 0 then return randomseed(random(0), random(0)) end
      local ok, first, second = native.pcall(randomseed, ...)
      if ok then return first, second end
      local index, why = T.library.string.match(first, "^bad argument #(%d) to '[^']*' %((.*)%)$")
      if not index then error(first, 2) end
      T.argument(tonumber(index), "math.randomseed", why)
    end
  end
end

local MAX_DATE = 128  -- bytes of a date format
local date, clock = O.date, O.clock
local find, late, pass, is51 = T.library.string.find, T.late, T.pass, T.is51
-- A conversion that Lua does not know, 5.2 as lupa builds it: "?" behind a text is one with a "%".
local STRANGE = T.version == 5.2 and "%%[^aAbBcdHIjmMpSUwWxXyYz%%]"
  or "%%[^aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%%]"
T.os = {
  time = O.time,
  difftime = O.difftime,
  -- Coarse, so that it is of no use to measure caches with.
  clock = function() return floor(clock() * 1e4) / 1e4 end,
  date = function(template, time)
    local kind = type(template)
    if kind == "string" and #template > MAX_DATE then
      error("bad argument #1 to 'date' (format too long)", 2)
    end
    if kind == "string" and not is51 and find(template .. "?", STRANGE)
      or kind ~= "string" and kind ~= "nil" or time ~= nil and type(time) ~= "number" then
      return pass(late("dates").date(template, time))
    end
    if time == nil then return date(template) end
    return date(template, time)
  end,
}

local bits = { "arshift", "band", "bnot", "bor", "bswap", "btest", "bxor", "extract",
  "lrotate", "lshift", "replace", "rol", "ror", "rrotate", "rshift", "tobit", "tohex" }
if T.library.bit then T.bit = copy(T.library.bit, bits) end
if T.library.bit32 then T.bit32 = copy(T.library.bit32, bits) end
if T.library.utf8 then
  T.utf8 = copy(T.library.utf8,
    { "char", "charpattern", "codepoint", "codes", "len", "offset" })
end
