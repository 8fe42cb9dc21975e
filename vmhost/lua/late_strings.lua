-- What may fail of `string.find` and `string.format` of sandboxed scripts, or shows addresses.
-- Errors name the script's line: native functions do where none of ours calls them.
local T = ...
local S, native = T.library.string, T.native
local find, format, gmatch, gsub, match = S.find, S.format, S.gmatch, S.gsub, S.match
local error, pcall, select, tonumber, type = native.error, native.pcall, native.select, native.tonumber, native.type
local unpack, text, argument = T.library.table.unpack, T.tostring, T.argument
local address = T.late("addresses")
local addressed = T.addressed

-- Functions of ours between the script and those here: LuaJIT has none.
local ABOVE = T.jit and 0 or 1

local strings = {}

-- ---- patterns -------------------------------------------------------------------------

local MAX_SOUND = 100  -- bytes; Lua allows patterns 200 steps deep

-- Whether no subject makes a pattern fail; false if that is not easily told.
function strings.is_sound(pattern)
  if #pattern > MAX_SOUND then return false end
  local rest = gsub(pattern, "%%[^%dbf]", "a")
  rest = gsub(rest, "%[%^?[^%]%^][^%]]*%]", "a")
  if find(rest, "[%%%[]") then return false end
  local marks, pairs_of = gsub(rest, "[^()]+", ""), 1
  if #marks > 64 then return false end  -- 32 captures
  while pairs_of > 0 do marks, pairs_of = gsub(marks, "%(%)", "") end
  return marks == ""
end

local ARGUMENT = "^bad argument #(%d+) to '[^']*' %((.*)%)$"

local function found(ok, ...)
  if ok then return ... end
  local index, why = match((...), ARGUMENT)
  if index then argument(tonumber(index), "string.find", why, 1) end
  error((...), 3)
end

local LONG_NEEDLE = 256           -- bytes; shorter ones are never refused
local MAX_FIND = 2 ^ 31           -- (bytes searched) x (bytes sought) of one plain find

-- Called by `string.find`.
function strings.find(s, pattern, from, plain)
  s = T.word(s, 1, "string.find", pattern == nil, ABOVE)
  pattern = T.word(pattern, 2, "string.find", from == nil, ABOVE)
  if #pattern > LONG_NEEDLE and #s * #pattern > MAX_FIND
    and (plain or not find(pattern, "[%^%$%*%+%?%.%(%[%%%-]")) then
    error("string too long to search", 2 + ABOVE)
  end
  if T.jit then return find(s, pattern, from, plain) end
  return found(pcall(find, s, pattern, from, plain))
end

-- ---- format ---------------------------------------------------------------------------

local NUMBER = { number = true }

local function has_pointer(template)
  return find(template, "p", 1, true)
    and find(gsub(template, "%%%%", ""), "%%[-+ #0-9.]*p") ~= nil
end

-- By place, the types of values with which a template cannot fail, and their `count`; false if
-- that is not easily told. plain: types that %s shows as they are; integer: of whole numbers;
-- padded: of what %5s shows.
function strings.form_of(template, plain, integer, padded)
  local form, count, at = {}, 0, find(template, "%", 1, true)
  if T.jit and has_pointer(template) then return false end
  while at do
    local flags, letter, after = match(template, "^([-+0]?%d?%d?%.?%d?%d?)(.)()", at + 1)
    if T.jit then flags, letter, after = match(template, "^([-+ #0-9.]*)(.?)()", at + 1) end
    local class
    if T.jit then class = plain
    elseif letter == "s" and flags == "" then class = plain
    elseif letter == "s" and not find(flags, "^[+0]") then
      class, form.is_padded = padded, true
    elseif letter == "f" or letter == "g" or letter == "e" then class = NUMBER
    elseif letter == "d" and not find(flags, ".", 1, true) then class = integer
    elseif letter == "x" and not find(flags, "[.+]") then class = T.version >= 5.3 and integer end
    if letter ~= "%" then
      if not class then return false end
      count = count + 1
      form[count] = class
    elseif flags ~= "" and not T.jit then
      return false
    end
    at = find(template, "%", after, true)
  end
  form.count = count
  return form
end

local NOWHERE = T.jit and "NULL" or "(null)"
local HAS_P = T.jit or T.version >= 5.4  -- elsewhere `%p` is an error

-- The template with %s in place of %p, and the values with addresses in their places.
local function with_addresses(template, values)
  local at = 0
  local new = gsub(template, "%%([-+ #0-9.]*)(.)", function(flags, letter)
    if letter == "%" then return nil end
    at = at + 1
    if letter ~= "p" then return nil end
    if not T.jit and not find(flags, "^%-?%d?%d?$") then return nil end
    if at > values.n then
      argument(at + 1, "string.format", T.jit and "value expected" or "no value", 3 + ABOVE)
    end
    local value = values[at]
    local kind = type(value)
    local has_one = kind == "table" or kind == "string" or addressed[kind]
    values[at] = has_one and address(value) or NOWHERE
    return "%" .. (T.jit and "" or flags) .. "s"
  end)
  return new
end

-- The native format; LuaJIT has no frame of ours then.
local result_of = format
if not T.jit then
  function result_of(template, ...)
    local ok, result = pcall(format, template, ...)
    if ok then return result end
    local index, why = match(result, ARGUMENT)
    if index then argument(tonumber(index), "string.format", why, ABOVE) end
    error(result, 2 + ABOVE)
  end
end

local function shown(template, ...)
  local count = select("#", ...)
  for index = 1, count do
    local kind = type((select(index, ...)))
    if kind == "table" or addressed[kind] then
      local values, at = { ... }, 0
      for flags, letter in gmatch(template, "%%([-+ #0-9.]*)(.)") do
        if letter ~= "%" then
          at = at + 1
          kind = type(values[at])
          local is_text = letter == "s" or T.jit and letter == "q"  -- as LuaJIT takes it
          if is_text and (kind == "table" or addressed[kind]) then
            values[at] = text(values[at])
          end
        end
      end
      return result_of(template, unpack(values, 1, count))
    end
  end
  return result_of(template, ...)
end

function strings.format(template, ...)
  if type(template) == "number" then template = native.tostring(template) end
  if type(template) ~= "string" then
    T.expected(1, "string.format", "string", template, template == nil and select("#", ...) == 0, ABOVE)
  end
  if HAS_P and has_pointer(template) then
    local values = { n = select("#", ...), ... }
    template = with_addresses(template, values)
    if has_pointer(template) then  -- no format of Lua's: an error
      return result_of(template, unpack(values, 1, values.n))
    end
    return shown(template, unpack(values, 1, values.n))
  end
  return shown(template, ...)
end

return strings
