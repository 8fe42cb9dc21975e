-- attack: one table that grows until memory is full
-- expect: budget memory
function main()
  local t = {}
  for index = 1, 1e9 do t[index] = index end
end
