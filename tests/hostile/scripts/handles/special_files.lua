-- attack: open a FIFO, a device, a directory and a link to itself, and wait there
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "../fifo.txt", "../device.txt", "../loop.txt", "../handles", "..", ".", "", "../fifo.txt/" } do
    attempts["open " .. name] = function() return io.open(name) end
    attempts["lines " .. name] = function() return io.lines(name)() end
    attempts["input " .. name] = function() io.input(name) return io.read(1) end
    attempts["path " .. name] = function() return (package.searchpath("x", name)) end
  end
  try(con, attempts)
end
