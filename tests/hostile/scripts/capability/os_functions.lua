-- attack: run programs, end the process, touch files, read the environment through os
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {
    environment = function() return os.getenv("PATH") or os.getenv("HOME") end,
    required = function() return require("os").execute end,
  }
  for _, name in ipairs { "execute", "exit", "remove", "rename", "tmpname", "setlocale" } do
    attempts[name] = function() return os[name] end
  end
  try(con, attempts)
end
