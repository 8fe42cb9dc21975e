-- attack: weak tables and garbage that the collector cannot keep up with
-- expect: 200 ended
function main(env, con)
  local weak = setmetatable({}, { __mode = "kv" })
  for index = 1, 300000 do weak[{}] = { ("x"):rep(100) } end
  con:puts("ended")
end
