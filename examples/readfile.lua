-- Reading a file beside the script.
--
-- A sandboxed script has no io.open. luafarm.read gives the bytes of a file below the
-- pool's roots, and nothing else. The file counts as a part of the script: when it
-- changes, the script is loaded anew. So it is enough to read it once, outside of main.
local luafarm = require("luafarm")
local page = require("lib.page")

local text = assert(luafarm.read("quotes.txt"))

local quotes = {}
for line in text:gmatch("[^\r\n]+") do quotes[#quotes + 1] = line end

function main(env, con)
  local quote = quotes[math.random(#quotes)]
  con:header("Cache-Control", "no-store")
  con:puts(page.open("A file"))
  con:puts("<p class='note'>" .. luafarm.escape_html(quote) .. "</p>")
  con:puts(string.format("<p class='dim'>One of %d proverbs of quotes.txt.</p>", #quotes))

  -- What cannot be read gives nil and a sentence that tells why.
  local _, why = luafarm.read("../secret.txt")
  con:puts("<p class='dim'>../secret.txt: " .. luafarm.escape_html(why) .. "</p>")
  con:puts(page.close())
end
