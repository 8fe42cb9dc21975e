-- What the web server says about a request, as scripts for luafcgid's last version do.
--
-- Since late 2011: con:header with a name and a value, and the module luafcgid, whose
-- parse gives an array for a name that is repeated: try ?colour=red&colour=blue.
local lf = require("luafcgid")
local luafarm = require("luafarm")
local escape = luafarm.escape_html

local function sorted(values)
  local names = {}
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function shown(value)  -- one text, or all of an array
  if type(value) == "table" then value = table.concat(value, ", ") end
  return escape(value)
end

local function put_table(con, title, values)
  con:puts("<h2>" .. title .. "</h2>\n<table>\n")
  for _, name in ipairs(sorted(values)) do
    con:puts("<tr><th>" .. escape(name) .. "<td>" .. shown(values[name]) .. "\n")
  end
  con:puts("</table>\n")
end

function main(env, con)
  con:header("Content-Type", "text/html; charset=utf-8")
  con:puts("<!DOCTYPE html>\n<title>dumpenv</title>\n")
  con:puts("<style>body{font:14px/1.5 monospace;margin:2em}th{text-align:left;"
    .. "padding-right:2em}</style>\n<h1>A request</h1>\n")
  put_table(con, "Environment", env)
  put_table(con, "Query", lf.parse(env.QUERY_STRING))
  local body = con:gets()  -- nil when there is none
  if body then
    con:puts("<h2>Body</h2>\n<pre>" .. escape(body) .. "</pre>\n")
    put_table(con, "Form", lf.parse(body))
  end
  con:puts("<form method='post'><p><input name='note' value='some text'> "
    .. "<button>Send it as a POST</button></form>\n")
end
