-- attack: ngx.exit, ngx.say and ngx.flush in shutdown, of a request that ended by os.exit
-- expect: 200 put
-- asks: 2
function _G.shutdown()
  pcall(ngx.say, ("ESCAPED"):rep(100000))
  pcall(ngx.flush)
  pcall(ngx.req.read_body)
  pcall(ngx.timer.at, 0, print)
  ngx.exit(200)
end

ngx.print("put")
os.exit()
