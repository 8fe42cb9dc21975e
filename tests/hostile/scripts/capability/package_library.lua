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
  attempts.loadlib = function() return (package.loadlib("/lib/x86_64-linux-gnu/libc.so.6", "*")) end
  attempts.searchpath = function() return (package.searchpath("passwd", "/etc/?")) end
  for index, searcher in ipairs(package.searchers or package.loaders) do
    attempts["searcher " .. index] = function()
      return type(searcher("/etc/passwd")) == "function" or type(searcher("ffi")) == "function"
    end
  end
  try(con, attempts)
end
