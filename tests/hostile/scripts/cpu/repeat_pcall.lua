-- attack: catch the stop, and go on
-- expect: budget cpu
function main()
  while true do pcall(function() while true do end end) end
end
