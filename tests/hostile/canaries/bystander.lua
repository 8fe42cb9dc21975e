-- A script that has nothing to do with it: it is asked all the time, by bystander.py.
function main(env, con)
  con:header("Content-Type", "text/plain")
  con:puts(env.QUERY_STRING)
end
