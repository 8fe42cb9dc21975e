-- attack: join upvalues to themselves, in circles and to freed ones, and collect in between
-- expect: 200 alive
local load_text = loadstring or load

function main(env, con)
  local made = {}
  for index = 1, 200 do
    local a, b, c = index, {}, "x"
    made[index] = function() a, b, c = a, b, c return a, b, c end
  end
  for index = 1, 200 do
    for at = 1, 4 do
      for other = 1, 4 do
        pcall(debug.upvaluejoin, made[index], at, made[index], other)
        pcall(debug.upvaluejoin, made[index], at, made[index % 200 + 1], other)
        pcall(debug.upvaluejoin, made[index], at, load_text("return 1"), other)
      end
      pcall(debug.upvalueid, made[index], at)
      pcall(debug.setupvalue, made[index], at, made)
    end
    pcall(made[index])
    if index % 3 == 0 then made[index] = made[1] collectgarbage() end
  end
  for _, at in ipairs { 0, -1, 255, 256, 2 ^ 31, 1e300, 0 / 0, "1", "x", {} } do
    pcall(debug.getupvalue, made[3], at)
    pcall(debug.setupvalue, made[3], at, 1)
    pcall(debug.upvalueid, made[3], at)
    pcall(debug.upvaluejoin, made[1], at, made[2], at)
  end
  con:puts("alive")
end
