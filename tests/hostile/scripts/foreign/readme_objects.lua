-- attack: a body of handler() that is no text, or an object that says it is
-- expect: 500 handler() must return string
-- asks: 4
local at = 0

function handler()
  at = at + 1
  return ({ {}, setmetatable({}, { __tostring = function() return "ESCAPED" end }), print, coroutine.create(print) })[at]
end
