-- attack: open, run and list files through io
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    metatable = function() return getmetatable(io.stdout) end,
    methods = function() io.stdout.write = print return true end,
    write = function() return io.open("/tmp/luafarm-was-here", "w") end,
    output = function() return io.output("/tmp/luafarm-was-here") end,
    through = function() return io.open("../../../../etc/passwd") end,
    pretended = function() return io.stdout.read(setmetatable({}, { __index = io.stdout })) end,
    descriptor = function() return io.stdin:read("*a") ~= "" end,
    open = function() return io.open("/etc/passwd"):read("*a") end,
    popen = function() return io.popen("id"):read("*a") end,
    lines = function() return io.lines("/etc/passwd")() end,
    tmpfile = function() return io.tmpfile() end,
  })
end
