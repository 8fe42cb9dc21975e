-- attack: headers when the header is gone
-- expect: 200 first
function main(env, con)
  con:puts("first")
  con:flush()
  con:header("X-Late", "ESCAPED")
  con:status(500)
  con:puts(" second")
end
