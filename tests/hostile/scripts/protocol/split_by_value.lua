-- attack: split the response by line breaks in a header's value
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for name, value in pairs { crlf = "a\r\nSet-Cookie: ESCAPED=1", lf = "a\nX-Escaped: 1", cr = "a\rX: 1",
    nul = "a\0b", body = "a\r\n\r\nESCAPED", folded = "a\r\n b" } do
    attempts[name] = function() con:header("X-Test", value) return true end
    attempts["table " .. name] = function() con:header({ ["X-Test"] = value }) return true end
    attempts["list " .. name] = function() con:header({ ["X-Test"] = { "ok", value } }) return true end
    attempts["location " .. name] = function() con:header("Location", value) return true end
    attempts["type " .. name] = function() con:header("Content-Type", value) return true end
    attempts["status " .. name] = function() con:header("Status", "200 " .. value) return true end
    attempts["status method " .. name] = function() con:status("200 " .. value) return true end
    attempts["cookie " .. name] = function() con:cookie("a", value) return true end
    attempts["path " .. name] = function() con:cookie("a", "b", nil, value) return true end
    attempts["domain " .. name] = function() con:cookie("a", "b", nil, "/", value) return true end
  end
  try(con, attempts)
end
