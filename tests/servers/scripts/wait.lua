-- ?idle waits without a word, ?talking says something now and then; else: at once.
local luafarm = require("luafarm")

function main(env, con)
   if env.QUERY_STRING == "idle" then
      luafarm.sleep(599)
   elseif env.QUERY_STRING == "talking" then
      con:header("X-Accel-Buffering", "no")
      for i = 1, 5900 do
         con:puts(string.rep("word ", 1000))
         con:flush()
         luafarm.sleep(0.1)
      end
   end
   con:puts("done")
end
