-- attack: warnings with objects in place of text, with lines of others, and more of them than may be logged
-- only: lua54 lua55
-- expect: refused
local try = require "try"

function main(env, con)
  warn("@on")
  try(con, {
    object = function() warn({}) return true end,
    to_text = function() warn("x", setmetatable({}, { __tostring = function() return "x" end })) return true end,
    nothing = function() warn() return true end,
    proxy = function() warn(io.stdout) return true end,
  })
  warn("one\nluafarm.fronts: forged\r\0forged\27[2J\xff", "\n2026-01-01 ERROR forged")
  warn("@forged", "@on")
  for _ = 1, 100000 do warn("much of it") end
  warn("@off")
  warn("ESCAPED")
end
