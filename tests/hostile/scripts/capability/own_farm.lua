-- attack: read the farm's configuration, log, sockets and run directory
-- expect: refused
-- query: {place}
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "/luafarm.toml", "/up.log", "/front.sock", "/run", "/run/broker.sock",
    "/secret.txt", "/library/try.lua", "" } do
    attempts["read " .. name] = function() return luafarm.read(env.QUERY_STRING .. name) end
  end
  try(con, attempts)
end
