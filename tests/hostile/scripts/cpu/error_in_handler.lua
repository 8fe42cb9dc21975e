-- attack: raise errors in message handlers without end
-- expect: budget cpu
function main()
  local function handler() error("again") end
  while true do xpcall(error, handler) end
end
