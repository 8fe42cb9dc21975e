-- attack: require the usual C modules by their names
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "socket", "socket.core", "lfs", "posix", "luasql.mysql", "cjson",
    "zlib", "lpeg", "syslog", "term.core" } do
    attempts[name] = function() return require(name) end
  end
  try(con, attempts)
end
