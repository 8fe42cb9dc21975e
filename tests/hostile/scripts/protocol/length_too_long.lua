-- attack: a Content-Length that makes a web server wait for more
-- expect: 200 short
function main(env, con)
  con:header("Content-Length", 1000000)
  con:puts("short")
end
