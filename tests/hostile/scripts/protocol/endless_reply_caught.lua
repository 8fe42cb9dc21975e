-- attack: go on with the reply when its limit is reached
-- expect: budget reply
function main(env, con)
  local piece = ("x"):rep(100000)
  while true do pcall(coroutine.wrap(function() while true do con:puts(piece) end end)) end
end
