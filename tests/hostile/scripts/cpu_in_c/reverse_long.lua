-- attack: long strings through quick functions of C, so that few instructions take long
-- expect: kill or budget cpu or budget memory
function main()
  local s = ("x"):rep(1500000)
  while true do s:reverse() s:upper() s:lower() end
end
