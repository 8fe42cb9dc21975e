-- `string` and `tostring` of sandboxed scripts: no real addresses, no bytecode, and no single
-- call whose C loop runs for long over nothing.
--
-- Provides: tostring, said, string.
local T = ...
local S, native = T.library.string, T.native
local byte, find, format, gmatch, gsub = S.byte, S.find, S.format, S.gmatch, S.gsub
local match, rep = S.match, S.rep
local error, floor, getmetatable = native.error, T.library.math.floor, native.getmetatable
local metatable_of = T.library.debug.getmetatable
local rawget, select, tonumber, tostring = native.rawget, native.select, native.tonumber, native.tostring
local type, unpack = native.type, native.unpack
local argument, expected = T.argument, T.expected
local counted, look, named, address = T.counted, T.look, T.named, T.address

local MAX_REP = 16 * 1024 * 1024  -- bytes of one string.rep; memory is bounded anyway
local LARGE = 64 * 1024           -- a string.rep that makes the collector hurry
local MAX_FIND = 2 ^ 31            -- (bytes searched) x (bytes sought) of one plain find
local LONG_NEEDLE = 256           -- shorter ones are never refused

local ADDRESSED = { ["function"] = true, thread = true, userdata = true, cdata = true }

-- What a value's `__tostring` says, whatever that is.
local function said(value)
  if T.jit then return (counted(tostring, value)) end
  return (tostring(value))
end
T.said = said

-- tostring without real addresses; __tostring and __name count as they do natively. What
-- `__metatable` shows does not: native tostring goes by the real metatable.
local function text(value)
  local kind = type(value)
  if kind == "string" then return value end  -- whatever their metatable says
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
T.tostring = text

local library = {}
T.string = library
for _, name in native.ipairs { "byte", "char", "find", "gmatch", "gsub", "len", "lower",
  "match", "reverse", "sub", "upper", "pack", "packsize", "unpack" } do
  library[name] = S[name]
end

-- A native function's errors at the script's line: LuaJIT has no frame of ours then.
local seek = find
if not T.is51 then
  local pcall = native.pcall
  local function found(ok, ...)
    if ok then return ... end
    error((...), 2)
  end
  function seek(s, pattern, from, plain) return found(pcall(find, s, pattern, from, plain)) end
end

local function word(value, index, name, is_last)  -- a string argument; numbers are
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return tostring(value) end
  expected(index, name, "string", value, value == nil and is_last, 1)
end

function library.find(s, pattern, from, plain)
  if type(s) ~= "string" then s = word(s, 1, "string.find", pattern == nil) end
  if type(pattern) ~= "string" then pattern = word(pattern, 2, "string.find", from == nil) end
  if type(s) == "string" and type(pattern) == "string" and #pattern > LONG_NEEDLE
    and #s * #pattern > MAX_FIND and (plain or not find(pattern, "[%^%$%*%+%?%.%(%[%%%-]")) then
    error("string too long to search", 2)
  end
  if plain then return find(s, pattern, from, plain) end  -- has no errors of its own
  return seek(s, pattern, from, plain)
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
  s = word(s, 1, "string.rep", times == nil)
  local n = tonumber(times)
  if not n or type(times) ~= "number" and type(times) ~= "string" then
    expected(2, "string.rep", "number", times, times == nil)
  end
  if T.puc51 or separator == nil then separator = "" end
  separator = word(separator, 3, "string.rep")
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
local known  -- the template that was looked at last: most loops have one

local HAS_P = T.jit or T.version >= 5.4  -- elsewhere `%p` is an error
local NOWHERE = T.jit and "NULL" or "(null)"

-- The template with %s in place of %p, and the values with addresses in their places.
local function with_addresses(template, values)
  local at = 0
  local new = gsub(template, "%%([-+ #0-9.]*)(.)", function(flags, letter)
    if letter == "%" then return nil end
    at = at + 1
    if letter ~= "p" then return nil end
    if not T.jit and not find(flags, "^%-?%d?%d?$") then native_format("%" .. flags .. "p", 0) end
    if at > values.n then argument(at + 1, "string.format", T.jit and "value expected" or "no value", 3) end
    local value = values[at]
    local kind = type(value)
    local has_one = kind == "table" or kind == "string" or ADDRESSED[kind]
    values[at] = has_one and address(value) or NOWHERE
    return "%" .. (T.jit and "" or flags) .. "s"
  end)
  return new
end

local function has_pointer(template)
  return find(template, "p", 1, true)
    and find(gsub(template, "%%%%", ""), "%%[-+ #0-9.]*p") ~= nil
end

-- The native format, whose errors should name the script's line and call.
local native_format = format
if not T.puc51 then
  local pcall = native.pcall
  function format(template, ...)
    local ok, result = pcall(native_format, template, ...)
    if ok then return result end
    local index, why = match(result, "^bad argument #(%d+) to '[^']*' %((.*)%)$")
    if index then argument(tonumber(index), "string.format", why, 2) end
    error(result, 4)
  end
end

-- Only %s and %p can tell an address, and only of these types.
local function safe_format(template, ...)
  local count = select("#", ...)
  if count < 4 then
    local a, b, c = ...
    if PLAIN[type(a)] and PLAIN[type(b)] and PLAIN[type(c)] then
      return (format(template, ...))
    end
  end
  for i = 1, count do
    local kind = type((select(i, ...)))
    if kind == "table" or ADDRESSED[kind] then
      local values, at = { ... }, 0
      for flags, letter in gmatch(template, "%%([-+ #0-9.]*)(.)") do
        if letter ~= "%" then
          at = at + 1
          kind = type(values[at])
          if letter == "s" and (kind == "table" or ADDRESSED[kind]) then
            values[at] = text(values[at])
          end
        end
      end
      return (format(template, unpack(values, 1, count)))
    end
  end
  return (format(template, ...))
end

function library.format(template, ...)
  if template ~= known then
    if type(template) ~= "string" then
      template = word(template, 1, "string.format", select("#", ...) == 0)
    end
    if HAS_P and has_pointer(template) then
      local values = { n = select("#", ...), ... }
      local new = with_addresses(template, values)
      if has_pointer(new) then return (native_format(new)) end  -- no format of Lua's: an error
      return (safe_format(new, unpack(values, 1, values.n)))
    end
    known = template
  end
  return (safe_format(template, ...))
end

if not T.config.trusted then
  getmetatable("").__index = library  -- the script's own, to change as it likes
end
