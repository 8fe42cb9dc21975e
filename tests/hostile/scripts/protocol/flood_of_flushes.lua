-- attack: a flood of flushes of one byte each
-- expect: budget cpu
function main(env, con)
  while true do
    con:puts("x")
    con:flush()
  end
end
