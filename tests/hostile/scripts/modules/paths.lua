-- attack: find files outside of the roots along package.path, in every form
-- expect: refused
-- query: {place}
local try = require "try"

function main(env, con)
  local attempts, place = {}, env.QUERY_STRING
  for _, path in ipairs { place .. "/?.lua", place .. "/?.txt", "/?", "../../../?.txt", "../way_out/?.lua", "../link.lua", "?/../../../secret.txt",
    "/etc/?", ";;", "??", ("?"):rep(1000), ("x;"):rep(20) .. place .. "/?.lua", "\0?", "../?.lua\0;" .. place .. "/?.lua", "file://" .. place .. "/?.lua" } do
    for _, name in ipairs { "secret", "passwd", "../secret", "way_out.secret", "link", "..secret", "%s", "\0secret" } do
      attempts[path:sub(1, 60) .. " " .. name] = function()
        package.path = path
        return require(name)
      end
      attempts["search " .. path:sub(1, 60) .. " " .. name] = function() return (package.searchpath(name, path)) end
      attempts["separated " .. path:sub(1, 60) .. " " .. name] = function() return (package.searchpath(name, path, "e", "e")) end
    end
  end
  try(con, attempts)
end
