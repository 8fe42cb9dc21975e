-- attack: go on in the message handler of xpcall
-- expect: budget cpu
function main()
  while true do xpcall(function() while true do end end, function() while true do end end) end
end
