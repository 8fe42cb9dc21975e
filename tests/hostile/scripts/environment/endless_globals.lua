-- attack: globals whose metatable runs for ever when the farm looks for the handler
-- expect: 200 looked up past it
setmetatable(_G, { __index = function() while true do end end })

function main(env, con) con:puts("looked up past it") end
