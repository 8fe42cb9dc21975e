-- attack: a reply without end
-- expect: budget reply
function main(env, con)
  local piece = ("x"):rep(10000)
  while true do con:puts(piece) end
end
