-- attack: require the farm's own parts, and put others in the place of the farm's modules
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "late_debug", "debug.late", "foreign_ngx", "foreign_handlers", "worker", "capture", "native", "_G.native",
    "luafarm.state.x", "luafarm.", "luafarm..form", "luafarm.form.x", "luafarm/form", "luafarm.native", "luafarm.late",
    "c_modules", "addresses", "garbage", "io.methods", "programs", "objects", "streams", "lupa", "table.new", "ffi", "jit.opt", "names" } do
    attempts["require " .. name] = function() return require(name) end
    attempts["loaded " .. name] = function() return package.loaded[name] end
    for index, searcher in ipairs(package.searchers or package.loaders) do
      attempts[index .. " finds " .. name] = function() return type((searcher(name))) == "function" end
    end
  end
  attempts.preload = function()
    package.preload["luafarm.crypto"] = function() return "mine" end
    package.preload["luafarm"] = function() return "mine" end
    return require("luafarm.crypto") == "mine" or require("luafarm") == "mine"
  end
  try(con, attempts)
end
