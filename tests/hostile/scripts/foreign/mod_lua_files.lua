-- attack: send files from outside of the roots by mod_lua's sendfile, and write some
-- expect: 200 refused
-- query: {place}
function handle(r)
  local place = r.args
  for _, path in ipairs { place .. "/secret.txt", "../../secret.txt", "../../../secret.txt", "../link.txt", "../way_out/secret.txt", "/etc/passwd",
    "/proc/self/maps", "../fifo.txt", "../device.txt", "../loop.txt", "", ".", "/", "\0", ("x"):rep(100000) } do
    local ok, sent = pcall(r.sendfile, r, path)
    if ok and sent then r:puts("ESCAPED " .. path) end
    for _, name in ipairs { "mkdir", "mkrdir", "rmdir", "touch", "stat", "get_direntries", "set_document_root" } do
      local done, found = pcall(r[name], r, path)
      if done and found then r:puts("ESCAPED " .. name) end
    end
  end
  r:puts("refused")
end
