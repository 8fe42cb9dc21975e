-- attack: open, run and list files through io
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    global = function() return io end,
    field = function() return _G["io"] end,
    loaded = function() return package.loaded.io end,
    required = function() return require "io" end,
    open = function() return io.open("/etc/passwd"):read("*a") end,
    popen = function() return io.popen("id"):read("*a") end,
    lines = function() return io.lines("/etc/passwd")() end,
    tmpfile = function() return io.tmpfile() end,
  })
end
