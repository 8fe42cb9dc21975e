-- The look of the examples: the beginning and the end of a page, and a row of a table.
local luafarm = require("luafarm")
local escape = luafarm.escape_html

local page = {}

local STYLE = [[
:root{color-scheme:light dark;--ink:#1c2733;--dim:#5d6b7a;--line:#d9e0e7;--back:#fff;
--soft:#f3f6f9;--blue:#0b5cad}
@media (prefers-color-scheme:dark){:root{--ink:#e3e9ef;--dim:#94a2b1;--line:#2f3a46;
--back:#14191f;--soft:#1d242c;--blue:#6cb2ff}}
*{box-sizing:border-box}
body{font:17px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--back);
max-width:48rem;margin:3rem auto;padding:0 1.25rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 1rem;letter-spacing:-.01em}
h2{font-size:1.05rem;margin:2.2rem 0 .6rem}
a{color:var(--blue);text-decoration:none}a:hover{text-decoration:underline}
nav{font-size:.9rem;margin-bottom:1.5rem}p{margin:.6rem 0}
.dim{color:var(--dim)}.big{font-size:2.4rem;font-weight:600;line-height:1.2;margin:1rem 0 0}
.note{background:var(--soft);border-left:3px solid var(--blue);padding:.5rem .9rem;
overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;margin:1rem 0}
td,th{text-align:left;vertical-align:top;padding:.45rem .8rem .45rem 0;
border-top:1px solid var(--line);overflow-wrap:anywhere}
th{font-weight:400;color:var(--dim);width:11rem}
.end{text-align:right;white-space:nowrap;padding-right:0;font-size:.9rem}
pre,code{font:.87rem/1.55 ui-monospace,monospace}
pre{background:var(--soft);border-radius:6px;padding:1rem 1.1rem;overflow-x:auto}
input,textarea,button{font:inherit;color:inherit;background:var(--back);padding:.4rem .7rem;
border:1px solid var(--dim);border-radius:5px}
textarea{width:100%}button{background:var(--blue);border-color:var(--blue);
color:var(--back);cursor:pointer}
]]

-- title: text. The page says where it is from, unless it is the first one.
function page.open(title, is_first)
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    .. "<meta name=\"viewport\" content=\"width=device-width\"><title>" .. escape(title)
    .. "</title><style>\n" .. STYLE .. "</style></head><body>\n"
    .. (is_first and "" or "<nav><a href=\"index.lua\">&larr; all examples</a></nav>\n")
    .. "<h1>" .. escape(title) .. "</h1>\n"
end

-- A row of two texts.
function page.row(name, value)
  return "<tr><th>" .. escape(name) .. "</th><td>" .. escape(value) .. "</td></tr>\n"
end

function page.close()
  return "\n</body></html>\n"
end

return page
