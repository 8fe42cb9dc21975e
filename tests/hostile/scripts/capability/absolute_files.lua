-- attack: read the machine's files by absolute paths
-- expect: refused
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  local attempts = {}
  for _, path in ipairs { "/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/self/maps",
    "/proc/1/cmdline", "/dev/zero", "/", "//etc/passwd", "/./etc/passwd", "/dev/fd/0" } do
    attempts["read " .. path] = function() return luafarm.read(path) end
    attempts["dofile " .. path] = function() return dofile(path) end
    attempts["loadfile " .. path] = function() return loadfile(path) end
  end
  try(con, attempts)
end
