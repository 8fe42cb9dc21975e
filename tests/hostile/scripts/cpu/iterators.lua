-- attack: iterate without end, by generic for and __pairs
-- expect: budget cpu
function main()
  local t = setmetatable({}, { __pairs = function() return function() return 1 end end })
  for _ in function() return 1 end do
    for _ in pairs(t) do end
  end
end
