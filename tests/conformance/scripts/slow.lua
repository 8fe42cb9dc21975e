-- Takes as many seconds as the query says.
local luafarm = require("luafarm")

function main(env, con)
   luafarm.sleep(tonumber(env.QUERY_STRING))
   con:puts("slow")
end
