-- attack: collect garbage for ever
-- expect: budget cpu
function main()
  local keep = {}
  for index = 1, 20000 do keep[index] = {} end
  while true do collectgarbage() end
end
