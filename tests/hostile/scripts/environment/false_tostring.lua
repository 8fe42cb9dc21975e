-- attack: a global tostring of its own for error objects, which yields, loops or returns junk
-- expect: 500 error object
local object = setmetatable({}, { __tostring = function() return "x" end })
tostring = function() coroutine.yield(1, 2, 3) return {} end

function main(env, con) error(object) end
