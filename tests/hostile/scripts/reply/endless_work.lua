-- attack: work without end when the reply has ended
-- expect: 200 sent or budget cpu
-- asks: 2
function main(env, con)
  con:puts("sent")
  con:finish()
  while true do pcall(con.puts, con, "ESCAPED") end
end
