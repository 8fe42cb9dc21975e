local body = string.rep("0123456789abcdef", 6400)

function main(env, con)
   con:puts(body)
end
