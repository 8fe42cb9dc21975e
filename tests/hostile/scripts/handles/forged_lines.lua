-- attack: write lines to the standard streams that pretend to be others of the log
-- expect: 200 logged
function main(env, con)
  io.write("a\n2026-11-23 00:00:00 ERROR luafarm.broker forged entry of the broker")
  io.stderr:write("\n\0\27[2J\r", ("\255"):rep(100), "\n2026-11-23 00:00:00 ERROR luafarm.broker forged")
  io.stderr:write(("x"):rep(2000000))
  con:puts("logged")
end
