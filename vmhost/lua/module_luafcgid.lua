-- require "luafcgid": what luafcgid.lua of 2013 offered, safe against nil.
local T = ...
local concat, format = T.library.table.concat, T.library.string.format
local error, ipairs, next = T.native.error, T.native.ipairs, T.native.next
local rep, sort = T.library.string.rep, T.library.table.sort
local tostring, type = T.native.tostring, T.native.type

local MAX_DEPTH = 100

local function text_of(value, name)
  if value == nil then return "" end
  if type(value) == "number" then return tostring(value) end
  if type(value) ~= "string" then
    error("bad argument #1 to '" .. name .. "' (string expected, got " .. type(value) .. ")", 3)
  end
  return value
end

local luafcgid = {}

function luafcgid.urlencode(text) return T.urlencode(text_of(text, "urlencode")) end
function luafcgid.urldecode(text) return T.urldecode(text_of(text, "urldecode")) end

local function put_all(values, name, value)
  local known = values[name]
  if known == nil then values[name] = value
  elseif type(known) == "table" then known[#known + 1] = value
  else values[name] = { known, value } end
end

-- Repeated names become an array; empty values are kept.
function luafcgid.parse(text, limits)
  local values, problem = T.parse(text_of(text, "parse"), limits, put_all, "luafcgid.parse")
  if problem then error(problem, 2) end
  return values
end

local function before(a, b)  -- numbers first, then by text
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  if type(a) == "number" or type(b) == "number" then return type(a) == "number" end
  -- native tostring of a string goes by the metatable of strings, which is the script's
  if type(a) ~= "string" then a = tostring(a) end
  if type(b) ~= "string" then b = tostring(b) end
  return a < b
end

local function serialize(value, indent, out)
  if type(value) == "string" then
    out[#out + 1] = format("%q", value)
  elseif type(value) == "number" then
    if value ~= value then out[#out + 1] = "0/0"
    elseif value == 1 / 0 then out[#out + 1] = "1/0"
    elseif value == -1 / 0 then out[#out + 1] = "-1/0"
    elseif T.version >= 5.3 and T.library.math.type(value) == "integer" then out[#out + 1] = tostring(value)
    else out[#out + 1] = format("%.17g", value) end
  elseif type(value) == "table" then
    if indent >= MAX_DEPTH then error("cannot serialize: nested deeper than " .. MAX_DEPTH, 0) end
    local keys, margin = {}, rep("  ", indent + 1)
    for key in next, T.whole(value) do
      if type(key) == "string" or type(key) == "number" or type(key) == "boolean" then
        keys[#keys + 1] = key
      else
        error("cannot serialize a " .. type(key) .. " as a key", 0)
      end
    end
    sort(keys, before)
    out[#out + 1] = "{\n"
    for _, key in ipairs(keys) do
      out[#out + 1] = margin .. "["
      serialize(key, indent, out)
      out[#out + 1] = "] = "
      serialize(T.native.rawget(value, key), indent + 1, out)
      out[#out + 1] = ",\n"
    end
    out[#out + 1] = rep("  ", indent) .. "}"
  elseif type(value) == "boolean" or value == nil then
    out[#out + 1] = tostring(value)
  else
    error("cannot serialize a " .. type(value), 0)
  end
end

-- Lua text that evaluates to an equal value.
function luafcgid.serialize(value)
  local out = {}
  serialize(value, 0, out)
  return concat(out)
end

return luafcgid
