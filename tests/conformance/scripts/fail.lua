function main(env, con)
   con:puts("this is discarded")
   error("failed as asked")
end
