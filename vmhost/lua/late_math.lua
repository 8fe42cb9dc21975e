-- Functions of `math` that distributions build into Lua 5.2 to 5.4, and lupa does not. Stubs
-- (late.lua) call them: levels count that.
local T = ...
local M, error, tonumber, type = T.library.math, T.native.error, T.native.tonumber, T.native.type
local exp, floor, log = M.exp, M.floor, M.log

local function number(value, index, name)
  local kind = type(value)
  local found = (kind == "number" or kind == "string") and tonumber(value)
  if not found then T.expected(index, "math." .. name, "number", value, value == nil, 2) end
  return found * 1.0
end

local math = {}

function math.log10(x) return log(number(x, 1, "log10"), 10) end
function math.atan2(y, x) return M.atan(number(y, 1, "atan2"), number(x, 2, "atan2")) end
function math.pow(x, y) return number(x, 1, "pow") ^ number(y, 2, "pow") end

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
    error("bad argument #2 to 'ldexp' (number has no integer representation)", 3)
  end
  if m ~= m or m == m / 2 then return m end  -- no number, 0, infinite: they stay what they are
  while power > 1000 and m ~= 0 and m ~= m / 2 do m, power = m * 2.0 ^ 1000, power - 1000 end
  while power < -1000 and m ~= 0 do m, power = m * 2.0 ^ -1000, power + 1000 end
  return m * 2.0 ^ (m == 0 and 0 or power > 1000 and 0 or power)
end

return math
