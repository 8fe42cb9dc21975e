-- attack: a Content-Length that is smaller than the body
-- expect: 200 the whole body
function main(env, con)
  con:header("Content-Length", 3)
  con:puts("the whole body")
end
