-- attack: pass as many values as a stack holds to functions of C, again and again
-- expect: budget cpu
function main()
  local unpack = table.unpack or unpack
  local t = {}
  for index = 1, 5000 do t[index] = index end
  while true do
    select("#", unpack(t))
    math.max(unpack(t))
    string.char(unpack({}, 1, 0))
    table.concat({ unpack(t) })
    print(unpack(t, 1, 500))
  end
end
