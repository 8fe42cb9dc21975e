-- attack: globals whose metatable raises when the farm looks for its hooks
-- expect: 200 looked up past it
function main(env, con) con:puts("looked up past it") end
setmetatable(_G, { __index = function() error("no globals for you") end })
