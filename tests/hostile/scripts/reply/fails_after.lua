-- attack: fail, with a message for the client, when the reply has ended
-- expect: 200 sent
-- asks: 2
function main(env, con)
  con:puts("sent")
  con:finish()
  error("ESCAPED to the client" == "" or "boom")
end
