-- attack: get addresses of objects as text
-- expect: refused
local try = require "try"

local function tells(text) return type(text) == "string" and text:find("0x%x") end

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
    pointer = function() return tells(("%p"):format({})) end,
    wide_pointer = function() return tells(("%-20p"):format(main)) end,
  }
  for name, value in pairs(values) do
    attempts["tostring " .. name] = function() return tells(tostring(value)) end
    attempts["format " .. name] = function() return tells(("%s"):format(value)) end
    attempts["wide " .. name] = function() return tells(("%5d%-90s"):format(1, value)) end
    attempts["quoted " .. name] = function() return tells(("%q"):format(value)) end
    attempts["error " .. name] = function()
      local _, message = pcall(function() return value + 1 end)
      return tells(message)
    end
    attempts["concat " .. name] = function()
      local _, message = pcall(table.concat, { value })
      return tells(message)
    end
    attempts["number " .. name] = function() return tonumber(value) end
  end
  try(con, attempts)
end
