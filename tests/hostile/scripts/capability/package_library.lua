-- attack: load C libraries and find files through package
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {
    cpath = function()
      package.cpath = "/usr/lib/?.so;/lib/x86_64-linux-gnu/lib?.so.6"
      return require "c"
    end,
    path = function()
      package.path = "/etc/?;/etc/?.lua;?"
      return require "passwd"
    end,
  }
  for _, name in ipairs { "loadlib", "searchers", "loaders", "searchpath" } do
    attempts[name] = function() return package[name] end
  end
  try(con, attempts)
end
