-- attack: raise a proxy whose text is another proxy, out of reach of all that catches errors
-- only: luajit21
-- expect: 500 Runtime Error
function main(env, con)
  local proxy = newproxy(true)
  local meta = getmetatable(proxy)
  meta.__tostring = function() return newproxy(proxy) end
  meta.__index = function() error(proxy) end
  meta.__concat = meta.__index
  error(proxy)
end
