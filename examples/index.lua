-- The list of all examples: what `make run` opens.
local luafarm = require("luafarm")
local page = require("lib.page")
local catalogue = require("lib.catalogue")
local escape = luafarm.escape_html

local function entry(file, sentence)
  local name = "<code>" .. escape(file) .. "</code>"
  if file:match("^[^/]*%.lua$") then
    name = "<a href=\"" .. escape(file) .. "\">" .. name .. "</a>"
  end
  return "<tr><th>" .. name .. "</th><td>" .. escape(sentence) .. "</td>"
    .. "<td class=\"end\"><a class=\"dim\" href=\"source.lua?file=" .. luafarm.urlencode(file)
    .. "\">source</a></td></tr>\n"
end

-- The list is the same for everybody: made once, when the state is loaded.
local function list()
  local out = {}
  for _, section in ipairs(catalogue) do
    out[#out + 1] = "<h2>" .. escape(section[1]) .. "</h2>\n<table>\n"
    for index = 2, #section do
      out[#out + 1] = entry(section[index][1], section[index][2])
    end
    out[#out + 1] = "</table>\n"
  end
  return table.concat(out)
end

local LIST = list()

function main(env, con)
  local state = luafarm.state
  con:puts(page.open("luafarm examples", true))
  con:puts("<p>It works: a Lua state made this page. Edit any of these files, save it, and "
    .. "load its page again.</p>\n")
  con:puts(LIST)
  con:puts(string.format("<p class=\"dim\">%s, state %s, request %d of it.</p>",
    _VERSION, escape(state.id), state.requests))
  con:puts(page.close())
end
