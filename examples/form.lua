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

local function refuse(con, status, why)
  con:status(status)
  con:header("Content-Type", "text/plain; charset=utf-8")
  con:puts(why .. "\n")
end

function main(env, con)
  local query, too_much = luafarm.parse(env.QUERY_STRING)
  if not query then return refuse(con, 414, too_much) end
  local name = query.name or ""

  local media = (env.CONTENT_TYPE or ""):match("^[^; ]*")
  local is_post = env.REQUEST_METHOD == "POST"
  if is_post and media ~= FORM then return refuse(con, 415, "Please send " .. FORM .. ".") end
  local form
  if is_post then
    form, too_much = luafarm.parse(con:gets())  -- gets gives nil for no body
    if not form then return refuse(con, 413, too_much) end
  end

  con:puts(page.open("Forms"))
  if name ~= "" then answer(con, "Hello, " .. escape(name) .. "!") end
  if form then
    local text = form.text or ""
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
