-- attack: long strings through quick functions of C, so that few instructions take long
-- expect: budget cpu
function main()
  local s = ("x"):rep(500000)
  while true do s:reverse() s:upper() s:lower() end
end
