-- attack: one log line of megabytes
-- expect: 200 logged
function main(env, con)
  con:log(("x"):rep(4000000))
  con:puts("logged")
end
