-- attack: read and run files of another pool
-- expect: refused
-- query: {place}/roots
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  local attempts = {}
  for _, pool in ipairs { "luajit21", "lua52", "lua53", "lua54", "lua55" } do
    local there = env.QUERY_STRING .. "/" .. pool
    if not env.SCRIPT_FILENAME:find(there .. "/", 1, true) then
      attempts["read " .. pool] = function() return luafarm.read(there .. "/canary.lua") end
      attempts["dofile " .. pool] = function() dofile(there .. "/library/shared.lua") return true end
      attempts["loadfile " .. pool] = function() return loadfile(there .. "/canary.lua") end
      attempts["climb " .. pool] = function() return luafarm.read("../../" .. pool .. "/canary.lua") end
    end
  end
  try(con, attempts)
end
