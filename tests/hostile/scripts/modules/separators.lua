-- attack: separators and names so long that a search for one in the other never ends
-- expect: 200 alive
function main(env, con)
  local long = ("a"):rep(600000)
  for _, separator in ipairs { ("a"):rep(300000) .. "b", long, "", "%", ".-", (".-"):rep(1000) .. "b", "%a+", "[a", "\0" } do
    for _, name in ipairs { long, "a.b", ("a"):rep(1000), "" } do
      pcall(package.searchpath, name, "?", separator, "/")
      pcall(package.searchpath, name, "?", separator, long)
      pcall(package.searchpath, name, long, separator)
    end
  end
  pcall(require, long)
  con:puts("alive")
end
