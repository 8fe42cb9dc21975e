-- attack: put, set headers, flush and finish again when the reply has ended
-- expect: 200 sent
-- asks: 2
function main(env, con)
  con:puts("sent")
  con:finish()
  con:puts("ESCAPED")
  con:header("X-Escaped", "1")
  con:status(500)
  con:cookie("escaped", "1")
  con:flush()
  con:reset()
  con:finish()
  con:detach()
  for _ = 1, 100 do con:puts(("ESCAPED"):rep(1000)) con:flush() end
  con:finish()
  require("luafarm.cookies").set(con, "escaped", "1")
end
