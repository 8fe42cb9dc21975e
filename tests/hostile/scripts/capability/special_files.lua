-- attack: read a FIFO, a device and a symbolic link to itself in the own root, and wait there
-- expect: refused
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "../fifo.txt", "../device.txt", "../loop.txt", "../capability" } do
    attempts["read " .. name] = function() return luafarm.read(name) end
    attempts["dofile " .. name] = function() return dofile(name) end
  end
  try(con, attempts)
end
