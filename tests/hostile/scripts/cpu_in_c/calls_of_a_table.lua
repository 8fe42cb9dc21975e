-- attack: a table whose __call is itself: each try puts one more argument before all others
-- expect: 200 alive
-- expect lua54: kill
function main(env, con)
  local own = {}
  own.__call = own
  setmetatable(own, own)
  pcall(own)
  con:puts("alive")
end
