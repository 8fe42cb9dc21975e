-- attack: a table whose border lies far out, so that insert and remove shift for days
-- expect: 200 alive
local load_text = loadstring or load

function main(env, con)
  local keys = {}
  for power = 0, 50 do keys[#keys + 1] = ("[%.0f]=1"):format(2 ^ power) end
  for power = 2, 50 do keys[#keys + 1] = ("[%.0f]=1"):format(2 ^ power + 1) end
  local t = load_text("return {" .. table.concat(keys, ",") .. "}")()
  pcall(table.insert, t, 1, "x")
  pcall(table.remove, t, 1)
  pcall(table.remove, t, "1")
  pcall(table.sort, t, rawequal)
  pcall(table.concat, t)
  con:puts("alive")
end
