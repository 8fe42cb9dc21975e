-- One piece at once, the other much later.
local luafarm = require("luafarm")

function main(env, con)
   con:header("Content-Type", "text/plain")
   con:header("X-Accel-Buffering", "no")
   con:puts("one\n")
   con:flush()
   luafarm.sleep(1.5)
   con:puts("two\n")
end
