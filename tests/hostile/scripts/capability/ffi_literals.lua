-- attack: 64-bit literals load LuaJIT's ffi into the process; what they are must not lead to it
-- only: luajit21
-- expect: refused
local try = require "try"

-- What the state counts is near to what it counted before.
local function far(text)
  local told = text:match("0x(%x+)")
  return told and math.abs(tonumber(told, 16) - tonumber(tostring({}):match("0x(%x+)"), 16)) > 64 * 1000
end

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
    address = function() return far(tostring(number)) or far(("%s"):format(imaginary)) or far(("%q"):format(number)) end,
  })
end
