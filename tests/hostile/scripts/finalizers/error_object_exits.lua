-- attack: end a request that has failed already, by os.exit in the text of its error
-- expect: 500 error object is a table
-- asks: 2
function main() error(setmetatable({}, { __tostring = function() os.exit() end })) end
