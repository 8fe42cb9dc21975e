-- A script in several files.
--
-- require "lib.greeting" looks for lib/greeting.lua: beside this script, then in the
-- root of the pool, then in the directories of its setting `library`. A module is loaded
-- once for each state. Change its file, and every script that uses it is loaded anew.
local luafarm = require("luafarm")
local greeting = require("lib.greeting")
local page = require("lib.page")

function main(env, con)
  local query = luafarm.parse(env.QUERY_STRING) or {}  -- nil when it is too long
  local name = query.name
  con:puts(page.open("Modules"))
  con:puts("<p class='big'>" .. luafarm.escape_html(greeting.to(name)) .. "</p>")
  con:puts("<table>")
  for hour = 0, 21, 3 do
    con:puts(page.row(string.format("%02d:00", hour), greeting.at(hour)))
  end
  con:puts("</table>" .. page.close())
end
