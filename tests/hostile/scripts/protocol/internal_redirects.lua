-- attack: headers that make web servers send files or other locations
-- expect: 200 served
function main(env, con)
  for _, name in ipairs { "X-Accel-Redirect", "X-Sendfile", "X-Sendfile2", "X-LIGHTTPD-send-file",
    "x-sendfile", "X-Sendfile-Temporary", "X-LIGHTTPD-send-tempfile" } do
    con:header(name, "/etc/ESCAPED")
  end
  con:puts("served")
end
