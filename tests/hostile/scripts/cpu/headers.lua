-- attack: set headers for ever, from a table that never ends
-- expect: budget cpu
function main(env, con)
  local endless = setmetatable({}, { __index = function() return "" end })
  con:flush()
  while true do con:header({ ["X-A"] = endless }) end
end
