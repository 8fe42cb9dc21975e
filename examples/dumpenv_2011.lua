-- What the web server says about a request, as a script of early 2011 would show it.
--
-- Of those days: req:header with a table, which held all headers of the reply, and
-- req:parse for urlencoded text. See dumpenv.lua for how it was done later.
local luafarm = require("luafarm")
local escape = luafarm.escape_html

local function rows(title, values)
  local names = {}
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  local out = { "<h2>" .. escape(title) .. "</h2>\n<table>\n" }
  for _, name in ipairs(names) do
    out[#out + 1] = string.format("<tr><th>%s<td>%s\n", escape(name), escape(values[name]))
  end
  return table.concat(out) .. "</table>\n"
end

function main(env, req)
  req:header {
    Status = "200 OK",
    ["Content-Type"] = "text/html; charset=utf-8",
  }
  req:puts("<!DOCTYPE html>\n<title>dumpenv of 2011</title>\n")
  req:puts("<style>body{font:14px/1.5 monospace;margin:2em}th{text-align:left;"
    .. "padding-right:2em}</style>\n<h1>A request</h1>\n")
  req:puts(rows("Environment", env))
  req:puts(rows("Query", req:parse(env.QUERY_STRING) or {}))
  if env.REQUEST_METHOD == "POST" then
    local body = req:gets() or ""
    req:puts("<h2>Body</h2>\n<textarea rows='8' cols='80'>\n" .. escape(body)
      .. "</textarea>\n")
  end
  req:puts("<form method='post'><p><input name='note' value='some text'> "
    .. "<button>Send it as a POST</button></form>\n")
end
