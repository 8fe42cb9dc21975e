-- attack: chains of weak tables over which a collector runs in quadratic time
-- expect: budget cpu
-- expect luajit21: 200 alive
function main(env, con)
  local head = {}
  local weak = setmetatable({}, { __mode = "k" })
  local key = head
  for _ = 1, 10000 do
    local following = {}
    weak[key] = following
    key = following
  end
  for _ = 1, 200 do collectgarbage() end
  con:puts("alive")
end
