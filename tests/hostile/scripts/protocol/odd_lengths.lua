-- attack: lengths that are no numbers, twice and different ones
-- expect: 502
function main(env, con)
  con:header("Content-Length", "-1")
  con:header("Content-Length", "5")
  con:puts("ESCAPED")
end
