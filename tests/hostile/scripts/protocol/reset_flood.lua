-- attack: write and take back without end
-- expect: budget cpu
function main(env, con)
  while true do
    con:puts("xxxxxxxxxx")
    con:reset()
  end
end
