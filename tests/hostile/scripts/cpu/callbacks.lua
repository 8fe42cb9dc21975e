-- attack: loop in callbacks from C
-- expect: budget cpu
function main()
  local function forever() while true do end end
  while true do
    pcall(string.gsub, "x", "x", forever)
    pcall(table.sort, { 3, 2, 1 }, forever)
  end
end
