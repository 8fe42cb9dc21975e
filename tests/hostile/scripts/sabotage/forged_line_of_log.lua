-- attack: log lines that pretend to be others, with control characters
-- expect: 200 logged
function main(env, con)
  print("harmless\n2026-11-23 00:00:00 ERROR luafarm.broker forged entry of the broker")
  con:log("\27[2J\27]0;title\7 \0 \r\n forged \226\128\174 text")
  con:log(("\255"):rep(100))
  con:puts("logged")
end
