-- attack: have an error page show lines of a file that is none of the script's
-- expect: 500 boom
-- query: {place}
local load_text = loadstring or load

function main(env, con)
  load_text(("\n"):rep(0) .. "error('boom')", "@" .. env.QUERY_STRING .. "/secret.lua")()
end
