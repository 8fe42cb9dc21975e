-- attack: numbers of a million digits, read and written
-- expect: 200 alive
function main(env, con)
  tonumber(("9"):rep(1000000))
  tonumber(("f"):rep(1000000), 16)
  tonumber("0x" .. ("f"):rep(1000000))
  tonumber("0x." .. ("0"):rep(1000000) .. "1p4000000")
  tonumber(("9"):rep(1000000) .. "e-1000000")
  for _, template in ipairs { "%99.99f", "%.99e", "%99d", "%-99s", "%.99g", "%099.9f" } do
    pcall(string.format, template, 1e308)
  end
  for _, template in ipairs { "%1000f", "%.1000f", "%99999999999s", ("%"):rep(999), "%", "%y" } do
    if pcall(string.format, template, 1) then con:puts("ESCAPED " .. template) end
  end
  con:puts("alive")
end
