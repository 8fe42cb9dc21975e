-- A JSON codec in the style of the quick pure-Lua ones: a table of functions by the next byte, no
-- globals after the head, numbers by their exact text.
local byte, char, find, format, gsub, match, rep, sub = string.byte, string.char, string.find,
  string.format, string.gsub, string.match, string.rep, string.sub
local concat, sort, floor, huge = table.concat, table.sort, math.floor, math.huge
local math_type = math.type
local error, pairs, setmetatable, tonumber, tostring, type = error, pairs, setmetatable, tonumber, tostring, type
local pcall = pcall
local M = { null = setmetatable({}, { __tostring = function() return "null" end }) }
local _ENV = nil

local text, at
local dispatch = {}

local function fail(what) error(format("%s at %d", what, at), 0) end
local function skip() at = match(text, "^[ \t\r\n]*()", at) end
local function value()
  skip()
  local f = dispatch[byte(text, at) or -1] or fail("unexpected")
  return f()
end

local function word(spelled, meaning)
  return function()
    if sub(text, at, at + #spelled - 1) ~= spelled then fail("unexpected word") end
    at = at + #spelled
    return meaning
  end
end
dispatch[0x74], dispatch[0x66], dispatch[0x6E] = word("true", true), word("false", false), word("null", M.null)

local function number()
  local spelled = match(text, "^%-?%d+%.?%d*[eE]?[+-]?%d*", at)
  local n = spelled and tonumber(spelled)
  if not n then fail("bad number") end
  at = at + #spelled
  return n
end
for digit = 0x30, 0x39 do dispatch[digit] = number end
dispatch[0x2D] = number

local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local function utf8_char(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 0x40), 0x80 + code % 0x40) end
  return char(0xE0 + floor(code / 0x1000), 0x80 + floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
end
dispatch[0x22] = function()
  local from = at + 1
  local to = from
  repeat
    local _, last = find(text, '^[^"\\]*', to)
    to = last + 1
    if byte(text, to) == 0x5C then to = to + 2 elseif to > #text then fail("open string") end
  until byte(text, to) == 0x22 and byte(text, to - 1) ~= nil
  at = to + 1
  local inner = gsub(sub(text, from, to - 1), "\\u(%x%x%x%x)", function(hex) return utf8_char(tonumber(hex, 16)) end)
  return (gsub(inner, "\\(.)", escapes))
end
dispatch[0x5B] = function()
  local list, count = {}, 0
  at = at + 1
  skip()
  if byte(text, at) == 0x5D then at = at + 1 return list end
  while true do
    count = count + 1
    list[count] = value()
    skip()
    local mark = byte(text, at)
    at = at + 1
    if mark == 0x5D then return list elseif mark ~= 0x2C then fail("no , or ]") end
  end
end
dispatch[0x7B] = function()
  local map = {}
  at = at + 1
  skip()
  if byte(text, at) == 0x7D then at = at + 1 return map end
  while true do
    skip()
    local key = dispatch[0x22]()
    skip()
    if byte(text, at) ~= 0x3A then fail("no :") end
    at = at + 1
    map[key] = value()
    skip()
    local mark = byte(text, at)
    at = at + 1
    if mark == 0x7D then return map elseif mark ~= 0x2C then fail("no , or }") end
  end
end

function M.decode(source)
  text, at = source, 1
  local ok, found = pcall(value)
  if not ok then return nil, found end
  return found
end

local function quoted(s)
  return '"' .. gsub(s, '[%c"\\]', function(c)
    if c == '"' or c == "\\" then return "\\" .. c end
    return format("\\u%04x", byte(c))
  end) .. '"'
end

local function encode(v, out)
  local kind = type(v)
  if v == M.null or v == nil then out[#out + 1] = "null"
  elseif kind == "string" then out[#out + 1] = quoted(v)
  elseif kind == "boolean" then out[#out + 1] = tostring(v)
  elseif kind == "number" then
    if v ~= v or v == huge or v == -huge then error("number out of range", 0) end
    if math_type and math_type(v) == "integer" then out[#out + 1] = format("%d", v)
    else out[#out + 1] = format("%.17g", v) end
  elseif kind == "table" then
    if v[1] ~= nil then
      local parts = {}
      for index = 1, #v do encode(v[index], parts) end
      out[#out + 1] = "[" .. concat(parts, ",") .. "]"
    else
      local keys, parts = {}, {}
      for key in pairs(v) do keys[#keys + 1] = key end
      sort(keys)
      for index = 1, #keys do
        local inner = {}
        encode(v[keys[index]], inner)
        parts[index] = quoted(keys[index]) .. ":" .. concat(inner)
      end
      out[#out + 1] = "{" .. concat(parts, ",") .. "}"
    end
  else error("cannot encode " .. kind, 0) end
end

function M.encode(v)
  local out = {}
  encode(v, out)
  return concat(out)
end
M.indent = function(depth) return rep("  ", depth) end
return M
