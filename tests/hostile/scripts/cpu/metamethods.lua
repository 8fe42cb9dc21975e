-- attack: loop in metamethods
-- expect: budget cpu
function main()
  local t = setmetatable({}, { __index = function(t, k) return k > 100 and k or t[k + 1] end })
  while true do pcall(function() return t[1] end) end
end
