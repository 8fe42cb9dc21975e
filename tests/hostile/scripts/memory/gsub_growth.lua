-- attack: grow a string by substitution
-- expect: budget memory
function main()
  local s = "x"
  while true do s = s:gsub(".", "%0%0") end
end
