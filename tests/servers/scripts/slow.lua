local luafarm = require("luafarm")

function main(env, con)
   luafarm.sleep(0.2)
   con:puts("slow")
end
