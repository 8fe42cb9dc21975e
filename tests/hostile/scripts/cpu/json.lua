-- attack: encode a table that contains itself, and decode for ever
-- expect: budget cpu
local json = require "json"

function main()
  local t = {}
  t.t = t
  while true do pcall(json.encode, t) pcall(json.decode, ("["):rep(1000)) end
end
