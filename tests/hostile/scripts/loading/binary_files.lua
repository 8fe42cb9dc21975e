-- attack: precompiled code in the own root, plain, behind a byte order mark, behind #!
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "bytecode", "bytecode_bom", "bytecode_hash" } do
    attempts["require " .. name] = function() return require(name) end
    attempts["dofile " .. name] = function() dofile("../" .. name .. ".lua") return true end
    attempts["loadfile " .. name] = function() return loadfile("../" .. name .. ".lua") end
  end
  try(con, attempts)
end
