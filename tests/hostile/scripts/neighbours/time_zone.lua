-- attack: turn the clocks of other scripts, by every function of time
-- expect: 200 turned
function main(env, con)
  for _, year in ipairs { 1970, 2026, 2038, 1e9, -1e9 } do
    for _, isdst in ipairs { true, false } do
      pcall(os.time, { year = year, month = 7, day = 1, hour = 12, isdst = isdst })
      pcall(os.time, { year = year, month = 1, day = 1, isdst = isdst })
    end
  end
  for _, template in ipairs { "%c", "!%c", "*t", "!*t", "%Z", "!%Z", "%z", "%x %X", "%Ex" } do pcall(os.date, template, 15e8) end
  con:puts("turned")
end
