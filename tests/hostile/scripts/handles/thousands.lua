-- attack: open files by the thousand, and keep them all
-- expect: budget memory or 200 alive or 500 not enough memory
function main(env, con)
  local kept = {}
  for index = 1, 1000 do
    kept[index] = io.open("../canary.lua")
    if not kept[index] then break end
  end
  con:puts("alive")
end
