-- attack: double one string until memory is full
-- expect: budget memory
function main()
  local s = "x"
  while true do s = s .. s end
end
