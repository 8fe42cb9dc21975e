-- attack: empty the tables of the libraries
-- expect: 200 gone
-- asks: 2
local pairs, type = pairs, type

function main(env, con)
  for _, library in pairs { string = string, table = table, math = math, os = os, coroutine = coroutine } do
    for key in pairs(library) do library[key] = nil end
  end
  con:puts("gone")
end
