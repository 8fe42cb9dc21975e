-- Part of a reply, and then no end. ?length: its whole length was announced before;
-- &buffered: nginx may collect it.
function main(env, con)
   con:header("Content-Type", "text/plain")
   if string.find(env.QUERY_STRING, "length") then
      con:header("Content-Length", "1000000")
   end
   if not string.find(env.QUERY_STRING, "buffered") then
      con:header("X-Accel-Buffering", "no")
   end
   con:puts(string.rep("x", 5000))
   con:flush()
   while true do end
end
