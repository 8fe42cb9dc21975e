-- ?404%20Not%20Here: that status, with a body that 204 and 304 must not pass on.
local luafarm = require("luafarm")

function main(env, con)
   con:header("Status", luafarm.urldecode(env.QUERY_STRING))
   con:puts("body of " .. env.QUERY_STRING)
end
