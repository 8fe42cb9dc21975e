-- attack: load precompiled code from strings, whatever mode is asked for
-- expect: refused
local try = require "try"

function main(env, con)
  local code = "\27Lua\84\0\25\147\r\n\26\n"
  local jit = "\27LJ\2\2\0"
  local attempts = {}
  for name, binary in pairs { puc = code, jit = jit, mark = "\27" } do
    for _, mode in ipairs { "b", "bt", "tb", "t", "", "x" } do
      attempts[name .. mode] = function() return load(binary, "x", mode) end
    end
    attempts[name .. " no mode"] = function() return (loadstring or load)(binary) end
  end
  try(con, attempts)
end
