-- attack: split the response by line breaks and colons in a header's name
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for name, header in pairs { crlf = "X\r\nX-Escaped", lf = "X\nX", colon = "X: 1\r\nX-Escaped", space = "X Y", empty = "",
    nul = "X\0", high = "X\255", tab = "X\t", quote = 'X"', control = "X\1" } do
    attempts[name] = function() con:header(header, "1") return true end
    attempts["table " .. name] = function() con:header({ [header] = "1" }) return true end
    attempts["cookie " .. name] = function() con:cookie(header, "1") return true end
  end
  attempts.number = function() con:header({ [1] = "1" }) return true end
  attempts.line = function() con:header("no colon here") return true end
  try(con, attempts)
end
