-- require "json": encode(value), decode(text), null, array(table). RFC 8259.
local T = ...
local byte, char, find, format, match, sub = T.library.string.byte, T.library.string.char,
  T.library.string.find, T.library.string.format, T.library.string.match, T.library.string.sub
local concat, floor, sort = T.library.table.concat, T.library.math.floor, T.library.table.sort
local error, getmetatable, next = T.native.error, T.native.getmetatable, T.native.next
local rawequal = T.native.rawequal
local rawget, setmetatable, tonumber = T.native.rawget, T.native.setmetatable, T.native.tonumber
local tostring, type = T.native.tostring, T.native.type
local math_type, whole = T.library.math.type, T.whole

local MAX_DEPTH = 200
local MAX_BYTES = 4 * 1024 * 1024  -- of a text that is decoded; 0.5 s
local MAX_VALUES = 250000          -- in it; 0.1 s

local null = T.seal({}, "json.null")
local is_array = setmetatable({}, { __mode = "k" })

local json = { null = null }

-- Mark a table so that it is encoded as an array; an empty table is an object otherwise.
function json.array(t)
  t = t == nil and {} or t
  if type(t) ~= "table" then error("bad argument #1 to 'array' (table expected)", 2) end
  is_array[t] = true
  return t
end

-- ---- encode -----------------------------------------------------------------------------

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f",
  ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\127"] = "\\u007f" }
for code = 0, 31 do
  ESCAPES[char(code)] = ESCAPES[char(code)] or format("\\u%04x", code)
end

local function quote(text)
  if find(text, '[%c"\\]') then text = T.replaced(text, '[%c"\\]', ESCAPES) end
  return '"' .. text .. '"'
end

local function number(value)
  if value ~= value or value == 1 / 0 or value == -1 / 0 then
    error("json: cannot encode " .. tostring(value), 0)
  end
  if math_type and math_type(value) == "integer" then return tostring(value) end
  if value == floor(value) and value > -1e15 and value < 1e15 then return format("%d", value) end
  local text = format("%.14g", value)
  if tonumber(text) ~= value then text = format("%.17g", value) end
  return text
end

local function length_of(t)  -- of an array, or nil
  local count, last = 0, 0
  for key in next, whole(t) do
    if type(key) ~= "number" or key < 1 or key ~= floor(key) then return nil end
    count = count + 1
    if key > last then last = key end
  end
  return last == count and (count > 0 or is_array[t]) and count or nil
end

local encode

local function object(t, depth, out)
  local keys = {}
  for key in next, t do
    if type(key) ~= "string" then
      error("json: cannot encode a " .. type(key) .. " as the key of an object", 0)
    end
    keys[#keys + 1] = key
  end
  sort(keys)
  local before = "{"
  for index = 1, #keys do
    out[#out + 1] = before .. quote(keys[index]) .. ":"
    encode(rawget(t, keys[index]), depth + 1, out)
    before = ","
  end
  out[#out + 1] = before == "{" and "{}" or "}"
end

function encode(value, depth, out)
  local kind = type(value)
  if kind == "string" then out[#out + 1] = quote(value)
  elseif kind == "number" then out[#out + 1] = number(value)
  elseif kind == "boolean" then out[#out + 1] = tostring(value)
  elseif value == nil or rawequal(value, null) then out[#out + 1] = "null"
  elseif kind ~= "table" then error("json: cannot encode a " .. kind, 0)
  elseif depth >= MAX_DEPTH then error("json: nested deeper than " .. MAX_DEPTH, 0)
  else
    local length = length_of(value)
    if not length then return object(value, depth, out) end
    local before = "["
    for index = 1, length do
      out[#out + 1] = before
      encode(rawget(value, index), depth + 1, out)
      before = ","
    end
    out[#out + 1] = before == "[" and "[]" or "]"
  end
end

function json.encode(value)
  local out = {}
  encode(value, 0, out)
  return concat(out)
end

-- ---- decode -----------------------------------------------------------------------------

local function fail(text, at, what)
  if at > #text then what = "unexpected end" end
  error("json: " .. what .. " at byte " .. at, 0)
end

local function utf8(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xc0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return char(0xe0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xf0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
    0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

local PLAIN = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n",
  r = "\r", t = "\t" }

local function escape(text, at)  -- at the backslash; returns the character and what follows
  local letter = sub(text, at + 1, at + 1)
  if PLAIN[letter] then return PLAIN[letter], at + 2 end
  local digits = match(text, "^u(%x%x%x%x)", at + 1)
  if not digits then fail(text, at, "invalid escape") end
  local code = tonumber(digits, 16)
  if code >= 0xdc00 and code < 0xe000 then fail(text, at, "invalid surrogate") end
  if code < 0xd800 or code >= 0xe000 then return utf8(code), at + 6 end
  local low = match(text, "^\\u([dD][c-fC-F]%x%x)", at + 6)
  if not low then fail(text, at, "invalid surrogate") end
  return utf8(0x10000 + (code - 0xd800) * 1024 + tonumber(low, 16) - 0xdc00), at + 12
end

local function string_at(text, at)  -- at the character after the opening quote
  local stop = find(text, '["\\%c]', at)
  if stop and byte(text, stop) == 34 then return sub(text, at, stop - 1), stop + 1 end
  local parts = {}
  while true do
    if not stop then fail(text, #text + 1, "") end
    parts[#parts + 1] = sub(text, at, stop - 1)
    local code = byte(text, stop)
    if code == 34 then return concat(parts), stop + 1 end
    if code == 92 then
      parts[#parts + 1], at = escape(text, stop)
    elseif code == 127 then
      parts[#parts + 1], at = "\127", stop + 1
    else
      fail(text, stop, "control character in a string")
    end
    stop = find(text, '["\\%c]', at)
  end
end

local function number_at(text, at)
  local whole = match(text, "^-?%d+", at)
  if not whole or find(whole, "^-?0%d") then fail(text, at, "invalid number") end
  local literal = whole .. (match(text, "^%.%d+", at + #whole) or "")
  literal = literal .. (match(text, "^[eE][+-]?%d+", at + #literal) or "")
  return tonumber(literal), at + #literal
end

local function skip(text, at) return (find(text, "[^ \t\r\n]", at)) or #text + 1 end

local LITERALS = { t = { "true", true }, f = { "false", false }, n = { "null", null } }

local value_at
local left, most  -- values that the text may still have; in all

local function array_at(text, at, depth)
  local result, count = {}, 0
  at = skip(text, at)
  if byte(text, at) == 93 then return json.array(result), at + 1 end
  while true do
    count = count + 1
    result[count], at = value_at(text, at, depth)
    at = skip(text, at)
    local code = byte(text, at)
    if code == 93 then return result, at + 1 end
    if code ~= 44 then fail(text, at, "expected ',' or ']'") end
    at = skip(text, at + 1)
  end
end

local function object_at(text, at, depth)
  local result = {}
  at = skip(text, at)
  if byte(text, at) == 125 then return result, at + 1 end
  while true do
    if byte(text, at) ~= 34 then fail(text, at, "expected a string as key") end
    local key
    key, at = string_at(text, at + 1)
    at = skip(text, at)
    if byte(text, at) ~= 58 then fail(text, at, "expected ':'") end
    result[key], at = value_at(text, skip(text, at + 1), depth)
    at = skip(text, at)
    local code = byte(text, at)
    if code == 125 then return result, at + 1 end
    if code ~= 44 then fail(text, at, "expected ',' or '}'") end
    at = skip(text, at + 1)
  end
end

function value_at(text, at, depth)
  left = left - 1
  if left < 0 then error(format("json: more values than limits.values, %.0f", most), 0) end
  local code = byte(text, at)
  if code == 34 then return string_at(text, at + 1) end
  if code == 123 or code == 91 then
    if depth >= MAX_DEPTH then fail(text, at, "nested deeper than " .. MAX_DEPTH) end
    return (code == 123 and object_at or array_at)(text, at + 1, depth + 1)
  end
  local literal = LITERALS[sub(text, at, at)]
  if literal then
    if sub(text, at, at + #literal[1] - 1) ~= literal[1] then fail(text, at, "invalid literal") end
    return literal[2], at + #literal[1]
  end
  return number_at(text, at)
end

function json.decode(text, limits)
  if type(text) ~= "string" then
    error("bad argument #1 to 'decode' (string expected, got " .. type(text) .. ")", 2)
  end
  local bytes = T.limit_of(limits, "bytes", MAX_BYTES, 3)
  most = T.limit_of(limits, "values", MAX_VALUES, 3)
  if #text > bytes then
    error(format("json: text of %.0f bytes; limits.bytes is %.0f", #text, bytes), 0)
  end
  left = most
  local value, at = value_at(text, skip(text, 1), 0)
  at = skip(text, at)
  if at <= #text then fail(text, at, "trailing text") end
  return value
end

return json
