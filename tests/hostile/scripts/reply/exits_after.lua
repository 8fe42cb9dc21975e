-- attack: end the request by os.exit when the reply has ended
-- expect: 200 sent
-- asks: 3
function main(env, con)
  con:puts("sent")
  con:finish()
  con:puts("ESCAPED")
  coroutine.wrap(function() pcall(os.exit) end)()
  con:puts("ESCAPED")
end
