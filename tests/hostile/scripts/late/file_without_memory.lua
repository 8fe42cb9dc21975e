-- attack: open a file with every number of bytes left, so that its handle is made of nothing
-- expect: 200 alive or budget memory or 500 not enough memory
function main(env, con)
  pcall(io.open, "../canary.lua")
  local keep, small = {}, {}
  pcall(function() while true do keep[#keep + 1] = ("x"):rep(3000) .. #keep end end)
  for index = 1, 3000 do small[index] = false end
  local count = 0
  pcall(function() while count < 3000 do small[count + 1] = {} count = count + 1 end end)
  for index = 1, count do
    small[index] = false
    local ok, file = pcall(io.open, "../canary.lua")
    if pcall(function() return (nil).x end) then con:puts("ESCAPED: nil has a metatable") end
    if ok and file then break end
  end
  keep = nil
  con:puts("alive")
end
