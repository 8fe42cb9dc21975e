-- attack: an error object whose __tostring raises error objects in turn
-- expect: 500 error object
local meta = {}
meta.__tostring = function() error(setmetatable({}, meta)) end

function main(env, con) error(setmetatable({}, meta)) end
