-- attack: seed and draw random numbers, so that other states draw foreseeable ones
-- expect: 200 drawn
function main(env, con)
  for index = 1, 1000 do
    math.randomseed(index)
    math.random()
  end
  con:puts("drawn")
end
