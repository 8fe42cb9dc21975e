-- attack: sort by a comparison in C, in which no hook fires
-- expect: budget cpu
function main(env, con)
  local t = {}
  for index = 1, 100000 do t[index] = index * 7919 % 100003 end
  while true do
    local ok, message = pcall(table.sort, t, rawequal)
    if not ok and message:find("invalid order") then pcall(table.sort, t, math.min) end
  end
end
