-- attack: find another environment than the script's own through load
-- expect: refused
local try = require "try"
local load_text = loadstring or load

function main(env, con)
  try(con, {
    other_globals = function() return load_text("return _G")() ~= _G end,
    upvalue = function() return load_text("return _ENV")() ~= (_ENV or nil) end,
    nothing = function() return load("return ffi or python or native", "x", "t", nil)() end,
    sealed = function() load("puts = 1", "x", "t", con)() return true end,
    written = function()
      load_text("leaked = 1")()
      return rawget(_G, "leaked") ~= 1
    end,
  })
end
