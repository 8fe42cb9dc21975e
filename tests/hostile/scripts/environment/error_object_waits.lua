-- attack: an error object whose __tostring asks the farm for something
-- expect: 500 error object
local luafarm = require "luafarm"

function main(env, con)
  error(setmetatable({}, { __tostring = function() luafarm.sleep(100) return "ESCAPED" end }))
end
