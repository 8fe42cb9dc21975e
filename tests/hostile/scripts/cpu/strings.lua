-- attack: build strings for ever
-- expect: budget cpu
function main()
  while true do
    local s = ""
    for index = 1, 200 do s = s .. index end
  end
end
