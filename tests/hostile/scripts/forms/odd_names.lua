-- attack: names and file names with NUL, quotes, paths, line breaks and names of metamethods
-- form: odd_names
-- expect: refused
local form = require "luafarm.form"
local try = require "try"

function main(env, con)
  local fields, files, list = form.parse(env, con)
  try(con, {
    metatable = function() return fields and (getmetatable(fields) or getmetatable(files)) end,
    path = function()
      for _, part in ipairs(list or {}) do
        if part.filename and part.filename:find("[/\\]") then return true end
      end
    end,
    injected = function() return fields and fields.x == nil and fields.injected end,
    header = function()
      for _, part in ipairs(type(list) == "table" and list or {}) do
        if part.headers and part.headers["x-escaped"] then return true end
      end
    end,
  })
end
