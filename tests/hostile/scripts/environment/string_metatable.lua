-- attack: reach by the metatable of strings what is not the script's own, or that of other types
-- expect: refused
local try = require "try"

function main(env, con)
  local meta = getmetatable("")
  try(con, {
    index = function() return meta.__index ~= string end,
    dump = function() return #meta.__index.dump(main) > 40 end,
    more = function() return meta.__gc or getmetatable(meta) or getmetatable(string) end,
    set = function() return setmetatable("", {}) end,
    number = function() return getmetatable(1) or getmetatable(nil) or getmetatable(true) end,
    functions = function() return getmetatable(print) or getmetatable(coroutine.create(print)) end,
  })
end
