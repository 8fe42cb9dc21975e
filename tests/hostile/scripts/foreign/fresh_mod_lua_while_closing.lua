-- attack: write to the request of mod_lua in shutdown, when it ended by os.exit
-- expect: 200 put
-- asks: 2
function handle(r)
  kept = r
  r:puts("put")
  os.exit()
end

function shutdown()
  for _, name in ipairs { "puts", "write", "flush", "sendfile", "parsebody", "requestbody", "setcookie", "warn" } do
    pcall(function() kept[name](kept, ("ESCAPED"):rep(100000)) end)
  end
  kept:flush()
end
