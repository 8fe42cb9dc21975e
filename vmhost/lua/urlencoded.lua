-- Urlencoded text, and texts of any size worked on without holding up a stop.
--
-- What a visitor sends costs by its limit: a text of more bytes or pairs is not parsed.
--
-- Provides: replaced, urldecode, urlencode, limit_of, parse.
local T = ...
local byte, char, find, gmatch, gsub, sub = T.library.string.byte, T.library.string.char,
  T.library.string.find, T.library.string.gmatch, T.library.string.gsub, T.library.string.sub
local concat, format, tonumber = T.library.table.concat, T.library.string.format, T.native.tonumber
local error, look, setmetatable, type = T.native.error, T.look, T.native.setmetatable, T.native.type

local MAX_BYTES = 1024 * 1024  -- of one text; 20 ms
local MAX_PAIRS = 1000         -- as in PHP (max_input_vars)
local SLICE = 64 * 1024        -- bytes of one gsub, which no hook interrupts: 1 ms

-- gsub of long texts, slice by slice. A slice begins with `start` if that is given.
local function replaced(text, pattern, by, start)
  if #text <= SLICE then return (gsub(text, pattern, by)) end
  local out, count, at = {}, 0, 1
  while at <= #text do
    look()
    local stop = at + SLICE
    if start then stop = find(text, start, stop, true) or #text + 1 end
    count = count + 1
    out[count] = gsub(sub(text, at, stop - 1), pattern, by)
    at = stop
  end
  return concat(out, "", 1, count)
end
T.replaced = replaced

-- Both tables fill as they are used.
local decoded = setmetatable({}, { __index = function(known, digits)
  known[digits] = char(tonumber(digits, 16))
  return known[digits]
end })
local encoded = setmetatable({}, { __index = function(known, c)
  known[c] = format("%%%02X", byte(c))
  return known[c]
end })

local function decode(text)
  if find(text, "+", 1, true) then text = replaced(text, "+", " ") end
  if find(text, "%", 1, true) then text = replaced(text, "%%(%x%x)", decoded, "%") end
  return text
end
T.urldecode = decode

function T.urlencode(text)
  text = replaced(text, "[^%w%-._~ ]", encoded)
  return (replaced(text, " ", "+"))
end

-- One limit of a call: a script's own, or ours.
function T.limit_of(limits, name, ours, level)
  if limits == nil then return ours end
  if type(limits) ~= "table" then
    error("limits must be a table, not a " .. type(limits) .. " value", level)
  end
  local limit = limits[name]
  if limit == nil then return ours end
  if not tonumber(limit) then
    error("limits." .. name .. " must be a number, not a " .. type(limit) .. " value", level)
  end
  return tonumber(limit)
end

-- What `put(values, name, value)` makes of the decoded pairs; nil and a message over the
-- limits. caller: for the message.
function T.parse(text, limits, put, caller)
  local bytes = T.limit_of(limits, "bytes", MAX_BYTES, 4)
  local left = T.limit_of(limits, "pairs", MAX_PAIRS, 4)
  if #text > bytes then
    return nil, T.fill("%s: text of %.0f bytes; limits.bytes is %.0f", caller, #text, bytes)
  end
  local values = {}
  for piece in gmatch(text, "[^&;]+") do
    left = left - 1
    if left < 0 then
      return nil, T.fill("%s: more pairs than limits.pairs, %.0f", caller,
        T.limit_of(limits, "pairs", MAX_PAIRS, 4))
    end
    local at = find(piece, "=", 1, true)
    if at then put(values, decode(sub(piece, 1, at - 1)), decode(sub(piece, at + 1)))
    else put(values, decode(piece), "") end
  end
  return values
end
