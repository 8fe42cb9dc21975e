-- attack: globals whose metatable runs for ever when the farm looks for the handler
-- expect: budget cpu
setmetatable(_G, { __index = function() while true do end end })

function main(env, con) con:puts("ESCAPED") end
