-- attack: chains of weak tables over which a collector runs in quadratic time
-- expect: kill or budget cpu or budget memory or 200 alive
function main(env, con)
  local head = {}
  local weak = setmetatable({}, { __mode = "k" })
  local key = head
  for _ = 1, 30000 do
    local following = {}
    weak[key] = following
    key = following
  end
  for _ = 1, 20 do collectgarbage() end
  con:puts("alive")
end
