-- attack: change what the process shares: locale, time zone, numbers' form
-- expect: 200 1.5
function main(env, con)
  pcall(function() os.setlocale("de_DE") end)
  pcall(os.date, "%c")
  con:puts(1.5)
end
