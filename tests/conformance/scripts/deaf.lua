-- Answers without a look at the body.
function main(env, con)
   con:puts("I did not listen")
end
