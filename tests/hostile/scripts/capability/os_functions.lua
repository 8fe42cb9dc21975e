-- attack: run programs, end the process, touch files, read the environment through os
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {
    environment = function() return os.getenv("PATH") or os.getenv("HOME") end,
    setlocale = function() return os.setlocale() ~= "C" or os.setlocale("de_DE.UTF-8") end,
    execute = function() return (os.execute("true")) end,
    remove = function() return (os.remove("/tmp/luafarm-is-here")) end,
    rename = function() return (os.rename("/etc/hostname", "/etc/hostname.old")) end,
    tmpname = function() return (os.tmpname()) end,
  }
  try(con, attempts)
end
