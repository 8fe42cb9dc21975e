-- Sending the browser elsewhere.
--
-- A Location alone means 302 Found. For another redirection set the status as well: 303
-- after a POST, 301 when the address has changed for good. Never redirect to an address
-- that came with the request: somebody would use your name to send people to his page.
local luafarm = require("luafarm")
local page = require("lib.page")

local KINDS = { ["301"] = 301, ["302"] = 302, ["303"] = 303, ["307"] = 307, ["308"] = 308 }

function main(env, con)
  local query = luafarm.parse(env.QUERY_STRING) or {}  -- nil when it is too long
  if query.from then
    con:puts(page.open("Arrived"))
    con:puts("<p class='note'>You came by way of " .. luafarm.escape_html(query.from)
      .. ".</p>" .. page.close())
    return
  end
  local code = KINDS[query.code]
  if code then con:status(code) end
  con:header("Cache-Control", "no-store")
  con:header("Location", env.SCRIPT_NAME .. "?from=" .. (code or 302))
end
