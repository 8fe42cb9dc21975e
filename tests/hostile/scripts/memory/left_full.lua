-- attack: leave the state full and return, so that the farm's next call finds no room
-- expect: 200 left or budget memory or 500 not enough memory
-- asks: 5
kept = {}

function main(env, con)
  con:puts("left")
  pcall(function() while true do kept[#kept + 1] = ("x"):rep(100) .. #kept end end)
  pcall(function() while true do kept[#kept + 1] = {} end end)
end
