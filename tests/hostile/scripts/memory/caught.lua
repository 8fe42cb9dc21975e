-- attack: catch the error of full memory and go on filling, for ever
-- expect: budget cpu
function main()
  keep = {}
  while true do
    pcall(function() while true do keep[#keep + 1] = ("x"):rep(1000) .. #keep end end)
  end
end
