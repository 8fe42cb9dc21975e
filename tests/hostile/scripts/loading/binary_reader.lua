-- attack: load precompiled code in pieces from a reader function
-- expect: refused
local try = require "try"

local function reader(pieces)
  local index = 0
  return function()
    index = index + 1
    return pieces[index]
  end
end

function main(env, con)
  try(con, {
    whole = function() return load(reader { "\27LJ\2\2\0" }) end,
    split = function() return load(reader { "\27", "Lua", "\84\0" }) end,
    number = function() return load(reader { 27 }) end,
    later = function() return load(reader { "\27", "return 1" }, "x", "bt") end,
    empty_first = function() return load(reader { "", "\27Lua" })() end,
  })
end
