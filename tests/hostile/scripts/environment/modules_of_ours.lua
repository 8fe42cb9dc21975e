-- attack: change the farm's modules for whoever requires them next
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "luafarm", "luafcgid", "json", "md5", "base64" } do
    local module = require(name)
    attempts["assign " .. name] = function() module.mine = 1 return true end
    attempts["rawset " .. name] = function() rawset(module, "encode", 1) return true end
    attempts["setmetatable " .. name] = function() setmetatable(module, nil) return true end
    attempts["getmetatable " .. name] = function() return getmetatable(module) end
  end
  local state = require("luafarm").state
  attempts["state"] = function() state.id = 1 return true end
  attempts["json null"] = function() require("json").null.x = 1 return true end
  try(con, attempts)
end
