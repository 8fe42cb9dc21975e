-- attack: a header of a megabyte
-- expect: 500 headers of more than
function main(env, con)
  con:header("X-Large", ("x"):rep(1000000))
  con:puts("ESCAPED")
end
