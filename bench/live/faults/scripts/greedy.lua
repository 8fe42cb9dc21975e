-- Takes memory until there is no more.
function main(env, con)
   local all = {}
   while true do all[#all + 1] = string.rep("x", 1e6) .. #all end
end
