-- attack: ask again and again not to be ended
-- expect: budget cpu
function main(env, con)
  while true do
    con:detach()
    pcall(coroutine.wrap(con.detach), con)
  end
end
