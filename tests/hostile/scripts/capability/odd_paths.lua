-- attack: paths with NUL, without end, of odd bytes and of odd types
-- expect: refused
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  local attempts = {}
  for name, path in pairs { nul = "canary.lua\0", nul_inside = "/etc/passwd\0.lua",
    long = ("a/"):rep(2000), longer = ("a"):rep(100000), bytes = "\255\254", line = "a\nb",
    table = {}, number = 0 / 0, truth = true } do
    attempts["read " .. name] = function() return luafarm.read(path) end
    attempts["dofile " .. name] = function() dofile(path) return true end
    attempts["loadfile " .. name] = function() return loadfile(path) end
    attempts["require " .. name] = function() return require(path) end
  end
  attempts.none = function() return luafarm.read() end
  attempts["dofile none"] = function() dofile() return true end
  try(con, attempts)
end
