-- `string` and `tostring` of sandboxed scripts: no real addresses, no bytecode, and no single
-- call whose C loop runs for long over nothing.
--
-- Provides: tostring, said, addressed, word, string.
local T = ...
local S, native = T.library.string, T.native
local find, format, gsub, rep = S.find, S.format, S.gsub, S.rep
local error, floor, getmetatable = native.error, T.library.math.floor, native.getmetatable
local metatable_of = T.library.debug.getmetatable
local rawget, select, tonumber, tostring = native.rawget, native.select, native.tonumber, native.tostring
local type = native.type
local argument, expected = T.argument, T.expected
local counted, look, late, pass = T.counted, T.look, T.late, T.pass

local MAX_REP = 16 * 1024 * 1024  -- bytes of one string.rep; memory is bounded anyway
local LARGE = 64 * 1024           -- a string.rep that makes the collector hurry
local LONG_NEEDLE = 256           -- bytes; longer ones may be refused

local ADDRESSED = { ["function"] = true, thread = true, userdata = true, cdata = true }
T.addressed = ADDRESSED

local function named(name, value)
  if T.jit and name == "function" then  -- by which programs know LuaJIT
    local plain = tostring(value)
    if find(plain, "^function: builtin#%d+$") then return plain end
  end
  return name .. ": " .. late("addresses")(value)
end

-- What a value's `__tostring` says, whatever that is. Called from Lua where Lua's own
-- `tostring` calls it from C, so that it may wait.
local function said(value)
  if T.jit then return (counted(tostring, value)) end
  local result = rawget(metatable_of(value), "__tostring")(value)
  if type(result) == "number" then return tostring(result) end
  return result
end
T.said = said

-- tostring without real addresses; __tostring and __name count as they do natively. What
-- `__metatable` shows does not: native tostring goes by the real metatable.
local function text(value)
  local kind = type(value)
  if kind == "string" then return value end  -- whatever their metatable says
  if kind == "number" then return tostring(value) end
  if kind == "table" or kind == "userdata" then
    local meta = metatable_of(value)
    if meta == nil then return named(kind, value) end
    if rawget(meta, "__tostring") ~= nil then
      value = said(value)
      kind = type(value)  -- anything in Lua 5.1 and 5.2
      if kind == "string" then return value end
      if kind == "number" then return tostring(value) end
      error("'__tostring' must return a string", 0)
    end
    local name = T.version >= 5.3 and rawget(meta, "__name")
    return named(type(name) == "string" and name or "table", value)
  elseif ADDRESSED[kind] then
    return named(kind, value)
  end
  return tostring(value)
end
T.tostring = T.config.trusted and tostring or text

local library = {}
T.string = library
for _, name in native.ipairs { "byte", "char", "find", "gmatch", "gsub", "len", "lower",
  "match", "reverse", "sub", "upper", "pack", "packsize", "unpack" } do
  library[name] = S[name]
end
T.stubs(library, "names", "dump")

-- Lua but LuaJIT has a frame of ours where one of these calls a native function, whose errors
-- name that and not the script's line. So what may fail is called by late_strings.lua. What is
-- known not to is remembered: most loops have one pattern, or template.
local MANY = 64  -- remembered of each

-- above: functions of ours between the one that was called and this one.
local function word(value, index, name, is_last, above)  -- a string argument; numbers are
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return tostring(value) end
  expected(index, name, "string", value, value == nil and is_last, 1 + (above or 0))
end
T.word = word

local sound, patterns = {}, 0  -- whether no subject makes a pattern fail, by pattern

local function is_sound(pattern)
  local found = sound[pattern]
  if found == nil then
    found = not find(pattern, "[%[%%()]") or late("strings").is_sound(pattern)
    if patterns == MANY then sound, patterns = {}, 0 end
    sound[pattern], patterns = found, patterns + 1
  end
  return found
end

if T.is51 then
  function library.find(s, pattern, from, plain)
    if type(s) == "string" and type(pattern) == "string" and #pattern <= LONG_NEEDLE then
      return find(s, pattern, from, plain)
    end
    return late("strings").find(s, pattern, from, plain)
  end
else
  function library.find(s, pattern, from, plain)
    if sound[pattern] and from == nil and plain == nil and type(s) == "string" then
      return find(s, pattern)
    end
    if type(s) == "string" and (from == nil or from == 1 or type(from) == "number" and from % 1 == 0
      and from < 2 ^ 53 and from > -2 ^ 53) and type(pattern) == "string" and #pattern <= LONG_NEEDLE
      and (plain or sound[pattern] or is_sound(pattern)) then
      return find(s, pattern, from, plain)
    end
    return pass(late("strings").find(s, pattern, from, plain))
  end
end

if T.jit then
  -- gsub keeps 8 KiB on the C stack, and LuaJIT does not count callbacks from C.
  function library.gsub(s, pattern, by, limit)
    local kind = type(by)
    if kind == "function" or (kind == "table" and getmetatable(by) ~= nil) then
      if limit == nil then return counted(gsub, s, pattern, by) end
      return counted(gsub, s, pattern, by, limit)
    end
    if limit == nil then return gsub(s, pattern, by) end
    return gsub(s, pattern, by, limit)
  end
end

function library.rep(s, times, separator)
  if type(s) ~= "string" then s = word(s, 1, "string.rep", times == nil) end
  local n = times
  if type(times) ~= "number" then
    n = type(times) == "string" and tonumber(times)
    if not n then expected(2, "string.rep", "number", times, times == nil) end
  end
  if separator == nil or T.puc51 then separator = ""
  else separator = word(separator, 3, "string.rep") end
  if T.version >= 5.3 and n % 1 ~= 0 and n < 2 ^ 53 then
    argument(2, "string.rep", "number has no integer representation")
  end
  if not (n >= 1) then return "" end  -- NaN as well
  local unit = #s + #separator
  if unit == 0 then return "" end
  if unit * n > MAX_REP then error("resulting string too large", 2) end
  if unit * n > LARGE then look() end
  n = floor(n)
  if separator == "" then return rep(s, n) end
  return rep(s, n, separator)
end

local PLAIN = { string = true, number = true, boolean = true, ["nil"] = true }
local INTEGER = { number = true }  -- if it is one
local LEAST, MOST = -2 ^ 63, 2 ^ 63
local PADDED = { number = true, boolean = true, ["nil"] = true }  -- or text without a zero
local MAX_FORM = 4096    -- bytes of a template that is remembered
local forms, known = {}, 0  -- by template: types of values with which it cannot fail, or false

local function form_of(template)
  if type(template) ~= "string" or #template > MAX_FORM then return false end
  if known == MANY then forms, known = {}, 0 end
  local form = late("strings").form_of(template, PLAIN, INTEGER, PADDED)
  forms[template], known = form, known + 1
  return form
end

local function fits(form, ...)
  for index = 1, form.count do
    local class, value = form[index], (select(index, ...))
    if not class[type(value)]
      and (class ~= PADDED or type(value) ~= "string" or find(value, "\0", 1, true))
      or class == INTEGER and (value % 1 ~= 0 or value < LEAST or value >= MOST) then
      return false
    end
  end
  return true
end

-- Only %s and %p can tell an address, and only of some types.
if T.jit then
  function library.format(template, ...)
    local form = forms[template]
    if form == nil then form = form_of(template) end
    if form then
      if select("#", ...) < 4 then
        local a, b, c = ...
        if PLAIN[type(a)] and PLAIN[type(b)] and PLAIN[type(c)] then return format(template, ...) end
      elseif fits(form, ...) then
        return format(template, ...)
      end
    end
    return late("strings").format(template, ...)
  end
else
  function library.format(template, ...)
    local form = forms[template]
    if form == nil then form = form_of(template) end
    if form then
      local count = select("#", ...)
      if count < 4 then
        local a, b, c = ...
        local x, y, z = form[1], form[2], form[3]
        if count >= form.count
          and (not x or x[type(a)] and (x ~= INTEGER or a % 1 == 0 and a >= LEAST and a < MOST))
          and (not y or y[type(b)] and (y ~= INTEGER or b % 1 == 0 and b >= LEAST and b < MOST))
          and (not z or z[type(c)] and (z ~= INTEGER or c % 1 == 0 and c >= LEAST and c < MOST)) then
          return format(template, ...)
        end
      end
      if (count > 3 or form.is_padded) and count >= form.count and fits(form, ...) then
        return format(template, ...)
      end
    end
    return (late("strings").format(template, ...))
  end
end

if not T.config.trusted then
  getmetatable("").__index = library  -- the script's own, to change as it likes
end
