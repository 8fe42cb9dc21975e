-- attack: write, truncate, rename, remove and make files by every mode and function
-- expect: refused
-- query: {root}
local try = require "try"

function main(env, con)
  local attempts, root = {}, env.QUERY_STRING
  for _, path in ipairs { "../canary.lua", root .. "/canary.lua", root .. "/new.lua", "/tmp/luafarm-was-here" } do
    for _, mode in ipairs { "w", "a", "r+", "w+", "a+", "wb", "ab", "r+b", "rb+", "w+b", "wx", "rw", "w\0" } do
      attempts[mode .. " " .. path] = function()
        local file = io.open(path, mode)
        return file and file:write("ESCAPED")
      end
    end
    attempts["remove " .. path] = function() return os.remove(path) end
    attempts["rename " .. path] = function() return os.rename(path, path .. "~") end
    attempts["output " .. path] = function() io.output(path) io.write("ESCAPED") return true end
    attempts["execute " .. path] = function() return os.execute("rm " .. path) ~= nil end
  end
  local file = io.open("../canary.lua")
  attempts["a file that is read"] = function() return (file:write("ESCAPED")) end
  attempts.temporary = function() return io.tmpfile() or os.tmpname() end
  try(con, attempts)
end
