-- attack: end a request that is over, by os.exit in shutdown, after one that ended so
-- expect: 200 put
-- asks: 2
function main(env, con)
  con:puts("put")
  con:flush()
  os.exit()
end

function shutdown()
  pcall(os.exit)
  os.exit()
end
