-- attack: get bytecode of functions, to change and load it again
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    library = function() return string.dump end,
    method = function() return ("").dump end,
    metatable = function() return getmetatable("").__index.dump end,
    call = function() return ("").dump(main) end,
  })
end
