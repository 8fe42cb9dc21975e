-- attack: the same after a request that failed
-- expect: 500 boom
-- asks: 2
function _G.shutdown()
  pcall(ngx.print, ("ESCAPED"):rep(100000))
  pcall(ngx.flush)
  ngx.exit(200)
end

ngx.print("ESCAPED")
error("boom")
