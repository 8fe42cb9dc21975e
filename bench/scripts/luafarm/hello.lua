local s = "Hello World"

function main(env, con)
   con:puts(s)
end
