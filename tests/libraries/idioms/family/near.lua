-- A part that finds another by its own name.
local above = (...):match("(.-)[^%.]+$")
return { name = ..., far = function() return require(above .. "far") end }
