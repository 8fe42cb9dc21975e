-- Never ends.
function main(env, con)
   while true do end
end
