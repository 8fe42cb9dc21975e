-- attack: a table whose __call is itself: each try puts one more argument before all others
-- expect: kill or 200 alive
function main(env, con)
  local own = {}
  own.__call = own
  setmetatable(own, own)
  pcall(own)
  con:puts("alive")
end
