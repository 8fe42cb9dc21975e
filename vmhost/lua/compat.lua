-- What distributions build into a version of Lua and its plain makefile does not, or the
-- other way round: functions of older versions. And the one locale that there is.
--
-- Provides: setlocale.
local T = ...
if T.config.trusted then
  T.setlocale = T.library.os.setlocale
  return
end
local native, M = T.native, T.library.math
local error, floor, tonumber, type = native.error, M.floor, native.tonumber, native.type
local exp, log, version = M.exp, M.log, T.version

local function number(value, index, name)
  local kind = type(value)
  local found = (kind == "number" or kind == "string") and tonumber(value)
  if not found then
    T.expected(index, "math." .. name, "number", value, value == nil, 1)
  end
  return found * 1.0
end

local math = T.math

if version >= 5.2 and version < 5.5 and not math.log10 then
  function math.log10(x) return log(number(x, 1, "log10"), 10) end
end

if version == 5.3 or version == 5.4 then  -- LUA_COMPAT_MATHLIB
  if not math.atan2 then
    function math.atan2(y, x) return M.atan(number(y, 1, "atan2"), number(x, 2, "atan2")) end
  end
  if not math.pow then
    function math.pow(x, y) return number(x, 1, "pow") ^ number(y, 2, "pow") end
  end
  if not math.cosh then
    function math.cosh(x)
      x = number(x, 1, "cosh")
      return (exp(x) + exp(-x)) / 2
    end
    function math.sinh(x)
      x = number(x, 1, "sinh")
      if x > -1e-5 and x < 1e-5 then return x + x * x * x / 6 end  -- the rest is lost
      return (exp(x) - exp(-x)) / 2
    end
    function math.tanh(x)
      x = number(x, 1, "tanh")
      if x > -1e-5 and x < 1e-5 then return x - x * x * x / 3 end
      if x > 20 then return 1.0 elseif x < -20 then return -1.0 end
      local e = exp(2 * x)
      return (e - 1) / (e + 1)
    end
  end
  if not math.frexp then
    function math.frexp(x)
      x = number(x, 1, "frexp")
      if x == 0 or x ~= x or x == 1 / 0 or x == -1 / 0 then return x, 0 end
      local e = 0
      if x > -2.0 ^ -1021 and x < 2.0 ^ -1021 then x, e = x * 2.0 ^ 54, -54 end  -- no bits are lost
      local a = x < 0 and -x or x
      local power = floor(log(a, 2)) + 1  -- may be one off
      power = power > 1023 and 1023 or power
      a = a * 2.0 ^ -power
      while a >= 1 do a, power = a / 2, power + 1 end
      while a < 0.5 do a, power = a * 2, power - 1 end
      return x < 0 and -a or a, e + power
    end
    function math.ldexp(m, e)
      m = number(m, 1, "ldexp")
      local power = M.tointeger(number(e, 2, "ldexp"))
      if not power then
        error("bad argument #2 to 'ldexp' (number has no integer representation)", 2)
      end
      while power > 1000 and m ~= 0 and m ~= m / 2 do m, power = m * 2.0 ^ 1000, power - 1000 end
      while power < -1000 and m ~= 0 do m, power = m * 2.0 ^ -1000, power + 1000 end
      return m * 2.0 ^ (m == 0 and 0 or power > 1000 and 0 or power)
    end
  end
end

local CATEGORIES = { all = 1, collate = 1, ctype = 1, monetary = 1, numeric = 1, time = 1 }

-- os.setlocale: the locale is the whole process's, and stays "C".
function T.setlocale(locale, category)
  if locale ~= nil and type(locale) ~= "string" and type(locale) ~= "number" then
    T.expected(1, "os.setlocale", "string", locale)
  end
  if category ~= nil and type(category) ~= "string" then
    T.expected(2, "os.setlocale", "string", category)
  end
  if category and not CATEGORIES[category] then
    T.argument(2, "os.setlocale", "invalid option '" .. category .. "'")
  end
  if locale == nil or locale == "" or locale == "C" or locale == "POSIX" then return "C" end
  return nil
end
