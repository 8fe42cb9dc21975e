-- attack: parse cookies of megabytes and millions of pieces
-- expect: 200 alive or budget memory
local cookies = require "luafarm.cookies"

function main(env, con)
  for _, text in ipairs { (";"):rep(1e6), ("a=b;"):rep(200000), ("a"):rep(1e6), (" "):rep(1e6) .. "=", ("a" .. (" "):rep(1000)):rep(500) .. "=b", ("="):rep(1e6),
    "a=" .. ("%41"):rep(200000), "a=" .. (" "):rep(1e6), 'a="' .. ("\\"):rep(1e6), ("\0=\0;"):rep(1000), "__index=x; __gc=y" } do
    local found = cookies.parse { HTTP_COOKIE = text }
    if getmetatable(found) then con:puts("ESCAPED") end
    cookies.parse({ HTTP_COOKIE = text }, true)
  end
  con:puts("alive")
end
