-- attack: change the mode of weak tables after they got their metatables, while they are collected
-- expect: 200 alive
function main(env, con)
  local tables = {}
  for index = 1, 300 do
    local meta = {}
    local t = setmetatable({}, meta)
    for at = 1, 20 do t[{}] = { t, at } t[at] = {} end
    tables[index] = t
    meta.__mode = ({ "k", "v", "kv", "", "x", 1, {} })[index % 7 + 1]
    if index % 20 == 0 then collectgarbage("step") end
    meta.__mode = ({ "kv", nil, "k", print, "v" })[index % 5 + 1]
    if index % 30 == 0 then collectgarbage() end
    for key in pairs(t) do t[key] = nil end
  end
  con:puts("alive")
end
