-- attack: date formats without end and times beyond any calendar
-- expect: 200 alive
function main(env, con)
  if pcall(os.date, ("%c"):rep(100000)) then con:puts("ESCAPED") end
  for _, time in ipairs { 1e15, -1e15, 2 ^ 53, 1 / 0, 0 / 0, 2 ^ 63, -2 ^ 63 } do
    pcall(os.date, "%c", time)
    pcall(os.date, "!*t", time)
    pcall(os.time, { year = time, month = time, day = time })
    pcall(os.difftime, time, -time)
  end
  for _, template in ipairs { "%", "%E", "%Ez", "%\0", "%O", "%10Y", "*t\0" } do pcall(os.date, template) end
  con:puts("alive")
end
