-- What lives on from request to request, and what does not.
--
-- A script is loaded once into a Lua state that then serves many requests, so a variable
-- outside of main keeps its value. It is a cache, no database: a busy script gets further
-- states ("clones") with variables of their own, and a state goes when its file changes
-- or its room is wanted. What must last, or be the same for everybody, belongs elsewhere:
-- here each visitor's own count travels in a cookie.
local luafarm = require("luafarm")
local page = require("lib.page")

local visits = 0

function main(env, con)
  visits = visits + 1
  local cookie = "; " .. (env.HTTP_COOKIE or "")
  local yours = (tonumber(cookie:match("; visits=(%d%d?%d?%d?)%f[%D]")) or 0) + 1
  con:cookie("visits", yours, os.time() + 3600, env.SCRIPT_NAME)
  con:header("Cache-Control", "no-store")

  local state = luafarm.state
  con:puts(page.open("Counter"))
  con:puts(string.format("<p class='big'>%d</p><p>requests to this state", visits))
  con:puts(string.format(", of which this is your number %d.</p>", yours))
  con:puts("<table>"
    .. page.row("state", state.id)
    .. page.row("generation of the script", state.generation)
    .. page.row("requests served", state.requests)
    .. page.row("age", string.format("%.1f s", state.age))
    .. "</table>")
  con:puts(page.close())
end
