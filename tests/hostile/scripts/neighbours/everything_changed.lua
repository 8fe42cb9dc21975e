-- attack: change every library, module, searcher and metatable within reach, as other scripts have them too
-- expect: 200 changed
function main(env, con)
  local next, pcall, type = next, pcall, type
  con:puts("changed")
  local meta = debug.getmetatable("")
  pcall(debug.setmetatable, "", { __index = { x = 1 }, __name = "ESCAPED", __call = print })
  for _, name in ipairs { "luafarm", "luafcgid", "json", "md5", "base64", "luafarm.form", "luafarm.cookies", "luafarm.crypto" } do
    local module = require(name)
    pcall(rawset, module, "x", 1)
    pcall(table.insert, module, 1)
    pcall(debug.setmetatable, module, nil)
  end
  for _, searchers in ipairs { package.searchers or package.loaders } do
    for index = #searchers, 1, -1 do searchers[index] = nil end
  end
  package.path, package.config = "ESCAPED", "ESCAPED"
  for _, library in next, { _G, string, table, math, os, io, debug, coroutine, package, package.loaded, package.preload } do
    for key in next, library do pcall(function() library[key] = "ESCAPED" end) end
  end
end
