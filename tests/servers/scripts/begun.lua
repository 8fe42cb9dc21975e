-- The beginning of a reply, and its end never: the web server is to tell it.
-- ?length: its whole length was announced; &buffered: nginx may collect it; &flood: more
-- than anybody takes at once.
local luafarm = require("luafarm")

function main(env, con)
   local asked = env.QUERY_STRING
   con:header("Content-Type", "text/plain")
   if string.find(asked, "length") then
      con:header("Content-Length", "1000000000")
   end
   if not string.find(asked, "buffered") then
      con:header("X-Accel-Buffering", "no")
   end
   local pieces = string.find(asked, "flood") and 160 or 16
   for _ = 1, pieces do
      con:puts(string.rep("x", 65000))
      con:flush()
   end
   luafarm.sleep(599)
end
