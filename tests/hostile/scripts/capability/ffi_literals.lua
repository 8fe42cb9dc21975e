-- attack: 64-bit literals load LuaJIT's ffi into the process; what they are must not lead to it
-- only: luajit21
-- expect: refused
local try = require "try"

function main(env, con)
  local number, imaginary = loadstring("return 42LL, 3i")()
  try(con, {
    required = function() return require "ffi" end,
    loaded = function() return package.loaded.ffi end,
    metatable = function() return type(getmetatable(number)) == "table" end,
    fields = function() return number.C or number.new or number.cast end,
    call = function() return number("int") end,
    member = function() return imaginary[1e9] ~= imaginary[0] and imaginary.re and false end,
    write = function() imaginary[0] = 1 return true end,
    address = function() return tostring(number):find("0x") or ("%s"):format(imaginary):find("0x") end,
  })
end
