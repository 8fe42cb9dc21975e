-- attack: climb out of the root by dots
-- expect: refused
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  local attempts = {}
  for _, path in ipairs { "../../secret.txt", "../../../secret.txt", "./../../secret.txt",
    "capability/../../../secret.txt", "..//..//secret.txt", "../../../../../../etc/passwd",
    "way_out/secret.txt", "../way_out/secret.txt", "link.txt", "../link.txt", "..", ".", "" } do
    attempts["read " .. path] = function() return luafarm.read(path) end
    attempts["dofile " .. path] = function() return dofile(path) end
  end
  try(con, attempts)
end
