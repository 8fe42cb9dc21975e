-- attack: globals whose metatable raises when the farm looks for its hooks
-- expect: 500 no globals for you
function main(env, con) con:puts("ESCAPED") end
setmetatable(_G, { __index = function() error("no globals for you") end })
