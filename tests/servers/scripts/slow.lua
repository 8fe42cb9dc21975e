local luafarm = require("luafarm")

function main(env, con)
   luafarm.sleep(0.5)
   con:puts("slow")
end
