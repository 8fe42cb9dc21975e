-- attack: get or change the metatable of strings
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    get = function() return getmetatable("") end,
    index = function() return getmetatable("").__index end,
    set = function() return setmetatable("", {}) end,
    number = function() return getmetatable(1) or getmetatable(nil) or getmetatable(true) end,
    functions = function() return getmetatable(print) or getmetatable(coroutine.create(print)) end,
  })
end
