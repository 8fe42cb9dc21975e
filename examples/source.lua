-- Shows the source of an example: source.lua?file=hello.lua
--
-- A name that comes from outside is looked up in a list of what is allowed. It is never
-- used as a path because it looks harmless.
local luafarm = require("luafarm")
local page = require("lib.page")
local catalogue = require("lib.catalogue")
local escape = luafarm.escape_html

local allowed = {}
for _, section in ipairs(catalogue) do
  for index = 2, #section do allowed[section[index][1]] = section[index][2] end
end

function main(env, con)
  local query = luafarm.parse(env.QUERY_STRING) or {}  -- nil when it is too long
  local file = query.file or "source.lua"
  local text = allowed[file] and luafarm.read(file)
  if not text then
    con:status(404)
    con:puts(page.open("No such example"))
    con:puts("<p>There is no example <code>" .. escape(file) .. "</code>.</p>" .. page.close())
    return
  end
  con:puts(page.open(file))
  con:puts("<p class=\"dim\">" .. escape(allowed[file]) .. "</p>\n")
  con:puts("<pre>" .. escape(text) .. "</pre>" .. page.close())
end
