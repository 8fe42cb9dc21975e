-- Takes memory until its state has no more.
function main(env, con)
  local all = {}
  while true do all[#all + 1] = ("x"):rep(1e5) .. #all end
end
