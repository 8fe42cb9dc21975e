-- attack: keep strings until memory is full
-- expect: budget memory
function main()
  local t = {}
  for index = 1, 1e9 do t[index] = ("x"):rep(1000) .. index end
end
