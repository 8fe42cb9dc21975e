-- attack: get addresses of objects as text
-- expect: refused
local try = require "try"

local function number_of(text) return type(text) == "string" and text:match("0x(%x+)") end

-- What `tostring` tells is a count; any other number would be an address.
local function tells(text, value)
  local found, ok, known = number_of(text), pcall(tostring, value)
  return found and not (ok and found == number_of(known))
end

local function is_no_count()
  local before, kept = nil, {}
  for index = 1, 20 do
    for _ = 1, index * 7 do kept[#kept + 1] = { index } end
    local number = tonumber(number_of(tostring({})):sub(-8), 16)
    if before and number - before ~= 64 then return true end
    before = number
  end
end

function main(env, con)
  local values = {
    table = {}, ["function"] = print, main = main, thread = coroutine.create(main), con = con,
    named = setmetatable({}, { __name = "x" }),
    false_metatable = setmetatable({}, { __metatable = { __tostring = main } }),
    hidden = setmetatable({}, { __metatable = false }),
    to_table = setmetatable({}, { __tostring = function() return {} end }),
    to_function = setmetatable({}, { __tostring = function() return print end }),
    odd_name = setmetatable({}, { __name = {} }),
  }
  local attempts = {
    no_count = is_no_count,
    pointer = function() return tells(("%p"):format(values.table), values.table) end,
    wide_pointer = function() return tells(("%-20p"):format(main), main) end,
  }
  for name, value in pairs(values) do
    attempts["tostring " .. name] = function() return tells(tostring(value), value) end
    attempts["format " .. name] = function() return tells(("%s"):format(value), value) end
    attempts["wide " .. name] = function() return tells(("%5d%-90s"):format(1, value), value) end
    attempts["quoted " .. name] = function() return tells(("%q"):format(value), value) end
    attempts["error " .. name] = function()
      local _, message = pcall(function() return value + 1 end)
      return tells(message, value)
    end
    attempts["concat " .. name] = function()
      local _, message = pcall(table.concat, { value })
      return tells(message, value)
    end
    attempts["number " .. name] = function() return tonumber(value) end
  end
  try(con, attempts)
end
