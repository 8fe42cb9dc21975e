-- attack: the same by a message that begins with the file's name, for a file and for a link to it
-- expect: 500 boom
-- query: {place}
-- asks: 2
local at = 0

function main(env, con)
  at = at + 1
  error(({ env.QUERY_STRING .. "/secret.lua:1: boom", env.SCRIPT_FILENAME:gsub("neighbours/.*", "link.lua") .. ":1: boom" })[at] or "boom", 0)
end
