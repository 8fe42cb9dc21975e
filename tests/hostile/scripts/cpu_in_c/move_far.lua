-- attack: move more elements than there are, by numbers and by text
-- expect: refused
local try = require "try"

function main(env, con)
  local move = table.move
  if not move then return con:puts("refused") end
  local attempts = {
    far = function() move({}, 1, 1e15, 2) return true end,
    text = function() move({}, "1", "1000000000000", "2") return true end,
    negative = function() move({}, -1e15, 1e15, 1) return true end,
    metatable = function() move(setmetatable({}, { __index = main }), 1, 1e9, 2) return true end,
    target = function() move({}, 1, 1e9, 2, setmetatable({}, { __newindex = main })) return true end,
    hidden = function() move(setmetatable({}, { __index = main, __metatable = {} }), 1, 1e9, 2) return true end,
  }
  if math.mininteger then
    attempts.wraps = function() move({}, math.mininteger, math.maxinteger, 1) return true end
    attempts.half = function() move({}, math.mininteger / 2, -(math.mininteger / 2), 1) return true end
  end
  try(con, attempts)
end
