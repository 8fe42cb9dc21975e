-- `bit32` of sandboxed Lua 5.3, which distributions build with it and its plain makefile as
-- well: in operators that older versions cannot read. Stubs (late.lua) call these functions:
-- levels count them.
local T = ...

local load = T.native.load
local text = [[
local T = ...
local select, tonumber, floor, type = T.native.select, T.native.tonumber, T.library.math.floor, T.native.type
local expected, argument = T.expected, T.argument
local library = {}
local ALL = 0xffffffff

local function word(value, index, name)
  local number = tonumber(value)
  if not number or (type(value) ~= "number" and type(value) ~= "string") then
    expected(index, "bit32." .. name, "number", value, value == nil, 2)
  end
  if number ~= floor(number) or number ~= number or number >= 2.0 ^ 63 or number < -2.0 ^ 63 then
    argument(index, "bit32." .. name, "number has no integer representation", 2)
  end
  return floor(number) & ALL
end

local function shifted(x, by)  -- to the left, or by less than nothing to the right
  if by <= -32 or by >= 32 then return 0 end
  if by >= 0 then return x << by & ALL end
  return x >> -by
end

local function signed(value, index, name)
  local number = tonumber(value)
  if not number then expected(index, "bit32." .. name, "number", value, value == nil, 2) end
  if number ~= floor(number) or not (number > -2.0 ^ 62 and number < 2.0 ^ 62) then
    argument(index, "bit32." .. name, "number has no integer representation", 2)
  end
  return floor(number)
end

function library.band(...)
  local result = ALL
  for index = 1, select("#", ...) do result = result & word((select(index, ...)), index, "band") end
  return result
end
function library.bor(...)
  local result = 0
  for index = 1, select("#", ...) do result = result | word((select(index, ...)), index, "bor") end
  return result
end
function library.bxor(...)
  local result = 0
  for index = 1, select("#", ...) do result = result ~ word((select(index, ...)), index, "bxor") end
  return result
end
function library.btest(...)
  local result = ALL
  for index = 1, select("#", ...) do result = result & word((select(index, ...)), index, "btest") end
  return result ~= 0
end
function library.bnot(x) return ~word(x, 1, "bnot") & ALL end
function library.lshift(x, by)
  x = word(x, 1, "lshift")
  return shifted(x, signed(by, 2, "lshift"))
end
function library.rshift(x, by)
  x = word(x, 1, "rshift")
  return shifted(x, -signed(by, 2, "rshift"))
end
function library.arshift(x, by)
  x = word(x, 1, "arshift")
  by = signed(by, 2, "arshift")
  if by < 0 or x < 0x80000000 then return shifted(x, -by) end
  if by >= 32 then return ALL end
  return (x >> by) | (~(ALL >> by) & ALL)
end
local function rotated(x, by)
  by = by & 31
  return (x << by | x >> (32 - by)) & ALL
end
function library.lrotate(x, by)
  x = word(x, 1, "lrotate")
  return rotated(x, signed(by, 2, "lrotate"))
end
function library.rrotate(x, by)
  x = word(x, 1, "rrotate")
  return rotated(x, -signed(by, 2, "rrotate"))
end
local function mask_of(field, width, first, name)
  field = signed(field, first, name)
  width = width == nil and 1 or signed(width, first + 1, name)
  if field < 0 then argument(first, "bit32." .. name, "field cannot be negative", 2) end
  if width < 1 then argument(first + 1, "bit32." .. name, "width must be positive", 2) end
  if field + width > 32 then T.native.error("trying to access non-existent bits", 4) end
  return field, (1 << width) - 1
end
function library.extract(x, field, width)
  x = word(x, 1, "extract")
  local at, mask = mask_of(field, width, 2, "extract")
  return x >> at & mask
end
function library.replace(x, value, field, width)
  x, value = word(x, 1, "replace"), word(value, 2, "replace")
  local at, mask = mask_of(field, width, 3, "replace")
  return (x & ~(mask << at) | (value & mask) << at) & ALL
end
return library
]]

return load(text, "=luafarm", "t", {})(T)
