function main(env, con)
   con:puts("this is discarded")
   error("failed as asked by " .. env.QUERY_STRING)
end
