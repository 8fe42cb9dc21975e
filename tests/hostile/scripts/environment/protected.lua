-- attack: take protection off metatables by raw access
-- expect: refused
local try = require "try"

function main(env, con)
  local locked = setmetatable({}, { __metatable = "locked" })
  try(con, {
    get = function() return getmetatable(locked) ~= "locked" end,
    set = function() setmetatable(locked, nil) return true end,
    raw = function() return rawget(getmetatable(locked), "__index") end,
    length = function() return rawlen and rawlen(con) > 0 end,
    equal = function() return rawequal(con, {}) end,
  })
end
