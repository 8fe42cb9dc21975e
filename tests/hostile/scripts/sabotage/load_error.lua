-- attack: raise while it is loaded, an object whose text never ends
-- expect: budget cpu
error(setmetatable({}, { __tostring = function() while true do end end }))
