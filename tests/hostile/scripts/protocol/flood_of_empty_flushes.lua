-- attack: a flood of flushes with log lines and nothing else
-- expect: budget cpu
function main(env, con)
  while true do
    con:flush()
    con:log("x")
  end
end
