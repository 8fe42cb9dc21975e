-- attack: a path of a million templates, asked again and again
-- expect: budget cpu
function main()
  while true do
    package.path = ("?;"):rep(100000)
    pcall(require, "none")
    pcall(package.searchpath, "none", package.path)
  end
end
