-- attack: open files outside of the roots by every function of io, along links as well
-- expect: refused
-- query: {place}
local try = require "try"

function main(env, con)
  local attempts, place = {}, env.QUERY_STRING
  for _, path in ipairs { place .. "/secret.txt", place .. "/luafarm.toml", place .. "/up.log", "/etc/passwd",
    "/proc/self/environ", "/proc/self/fd/0", "../../../secret.txt", "../../secret.txt", "../link.txt",
    "../way_out/secret.txt", "./../way_out/../secret.txt", "..//../../secret.txt", "/dev/stdin", "~/.profile" } do
    attempts["open " .. path] = function() return io.open(path) end
    attempts["binary " .. path] = function() return io.open(path, "rb") end
    attempts["lines " .. path] = function() return io.lines(path)() end
    attempts["formats " .. path] = function() return io.lines(path, "*a")() end
    attempts["input " .. path] = function() io.input(path) return io.read("*a") end
    attempts["output " .. path] = function() return io.output(path) end
    attempts["popen " .. path] = function() return io.popen("cat " .. path) end
    attempts["searchpath " .. path] = function() return (package.searchpath(path, "?")) end
    attempts["file " .. path] = function() return (package.searchpath("x", path)) end
  end
  try(con, attempts)
end
