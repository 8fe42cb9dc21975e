function main(env, con)
   con:log("a line for the log")
   con:puts("noted")
end
