-- `string`, `tostring` and `utf8` of sandboxed scripts: no addresses, no bytecode, and no
-- single call whose C loop runs for long over nothing.
--
-- Provides: tostring, string.
local T = ...
local S, native = T.library.string, T.native
local byte, find, format, gsub, rep = S.byte, S.find, S.format, S.gsub, S.rep
local error, floor, getmetatable = native.error, T.library.math.floor, native.getmetatable
local metatable_of = T.library.debug.getmetatable
local rawget, select, tonumber, tostring = native.rawget, native.select, native.tonumber, native.tostring
local type, unpack = native.type, native.unpack
local counted, look = T.counted, T.look

local MAX_REP = 16 * 1024 * 1024  -- bytes of one string.rep; memory is bounded anyway
local LARGE = 64 * 1024           -- a string.rep that makes the collector hurry
local MAX_FIND = 2 ^ 31            -- (bytes searched) x (bytes sought) of one plain find
local LONG_NEEDLE = 256           -- shorter ones are never refused

local ADDRESSED = { ["function"] = true, thread = true, userdata = true, cdata = true }

-- tostring without addresses; __tostring and __name count as they do natively. What
-- `__metatable` shows does not: native tostring goes by the real metatable.
local function text(value)
  local kind = type(value)
  if kind == "table" or kind == "userdata" then
    local meta = metatable_of(value)
    if meta == nil then return kind end
    if rawget(meta, "__tostring") ~= nil then
      if T.jit then value = counted(tostring, value) else value = tostring(value) end
      kind = type(value)  -- anything in Lua 5.1 and 5.2
      if kind == "string" then return value end
      if kind == "number" then return tostring(value) end
      error("'__tostring' must return a string", 0)
    end
    local name = not T.is51 and rawget(meta, "__name")
    return type(name) == "string" and name or "table"
  elseif ADDRESSED[kind] then
    return kind
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

function library.find(s, pattern, from, plain)
  if type(s) == "string" and type(pattern) == "string" and #pattern > LONG_NEEDLE
    and #s * #pattern > MAX_FIND and (plain or not find(pattern, "[%^%$%*%+%?%.%(%[%%%-]")) then
    error("string too long to search", 2)
  end
  return find(s, pattern, from, plain)
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

function library.rep(s, n, separator)
  if type(s) == "number" then s = tostring(s) end
  if type(s) ~= "string" then
    error("bad argument #1 to 'rep' (string expected, got " .. type(s) .. ")", 2)
  end
  n = tonumber(n)
  if not n then error("bad argument #2 to 'rep' (number expected)", 2) end
  if T.puc51 or separator == nil then separator = "" end
  if type(separator) ~= "string" then
    if type(separator) ~= "number" then error("bad argument #3 to 'rep' (string expected)", 2) end
    separator = tostring(separator)
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

-- Only %s and %p can tell an address, and only of these types.
function library.format(template, ...)
  if template ~= known and type(template) == "string" then
    if find(template, "p", 1, true)
      and find(gsub(template, "%%%%", ""), "%%[-+ #0-9.]*p") then
      error("invalid option '%p' to 'format'", 2)
    end
    known = template
  end
  local count = select("#", ...)
  if count < 4 then
    local a, b, c = ...
    if PLAIN[type(a)] and PLAIN[type(b)] and PLAIN[type(c)] then return format(template, ...) end
  end
  for i = 1, count do
    local kind = type((select(i, ...)))
    if kind == "table" or ADDRESSED[kind] then
      local values = { ... }
      for j = i, count do
        kind = type(values[j])
        if kind == "table" or ADDRESSED[kind] then values[j] = text(values[j]) end
      end
      return format(template, unpack(values, 1, count))
    end
  end
  return format(template, ...)
end

if not T.config.trusted then
  local meta = getmetatable("")
  meta.__index, meta.__metatable = library, false
end
