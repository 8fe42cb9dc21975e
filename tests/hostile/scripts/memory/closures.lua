-- attack: closures without end
-- expect: budget memory
function main()
  local t = {}
  for index = 1, 1e9 do t[index] = function() return t, index end end
end
