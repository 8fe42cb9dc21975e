-- Forms: the query of a GET, the body of a POST.
--
-- Everything that comes from outside goes through escape_html before it is shown. Without
-- that a visitor could send others a link that runs a program of his in their browsers.
local luafarm = require("luafarm")
local page = require("lib.page")
local escape = luafarm.escape_html

local FORM = "application/x-www-form-urlencoded"

local function answer(con, text)
  con:puts("<p class='note'>" .. text .. "</p>")
end

function main(env, con)
  local query = luafarm.parse(env.QUERY_STRING)
  local name = query.name or ""

  local media = (env.CONTENT_TYPE or ""):match("^[^; ]*")
  if env.REQUEST_METHOD == "POST" and media ~= FORM then
    con:status(415)
    con:header("Content-Type", "text/plain; charset=utf-8")
    con:puts("Please send " .. FORM .. ".\n")
    return
  end

  con:puts(page.open("Forms"))
  if name ~= "" then answer(con, "Hello, " .. escape(name) .. "!") end
  if env.REQUEST_METHOD == "POST" then
    local text = luafarm.parse(con:gets()).text or ""  -- gets gives nil for no body
    local _, words = text:gsub("%S+", "")
    answer(con, words .. " words, backwards: " .. escape(text:reverse()))
  end
  con:puts([[
<h2>GET</h2>
<form method="get">
  <label>Your name <input name="name" value="]] .. escape(name) .. [["></label>
  <button>Say hello</button>
</form>
<h2>POST</h2>
<form method="post">
  <p><textarea name="text" rows="4">Never odd or even</textarea></p>
  <button>Turn it round</button>
</form>]])
  con:puts(page.close())
end
