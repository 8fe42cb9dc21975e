-- attack: an error object whose __tostring runs for ever when the farm reads it
-- expect: budget cpu
function main(env, con)
  error(setmetatable({}, { __tostring = function() while true do end end }))
end
