-- attack: change the locale of the process, by every name and category
-- expect: 200 1.5
function main(env, con)
  for _, name in ipairs { "de_DE.UTF-8", "C.UTF-8", "tr_TR", "en_US.UTF-8", "", "POSIX", "C", "*", ("x"):rep(1e6), "../../etc" } do
    for _, category in ipairs { "all", "collate", "ctype", "monetary", "numeric", "time", "none" } do
      local ok, found = pcall(os.setlocale, name, category)
      if ok and found and found ~= "C" then con:puts("ESCAPED " .. found) end
    end
  end
  con:puts(1.5)
end
