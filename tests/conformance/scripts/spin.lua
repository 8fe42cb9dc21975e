-- Never returns: its budget must end it.
function main(env, con)
   while true do end
end
