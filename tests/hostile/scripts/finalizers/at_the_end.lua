-- attack: leave objects with finalizers to a state that is closed
-- expect: budget cpu
-- asks: 2
function main(env, con)
  kept = {}
  for index = 1, 1000 do
    kept[index] = setmetatable({}, { __gc = function() while true do end end })
    kept[-index] = debug.setmetatable({}, { __gc = function() error("x") end })
  end
  while true do end
end
