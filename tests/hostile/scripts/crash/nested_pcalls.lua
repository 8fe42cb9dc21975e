-- attack: protected calls and message handlers until a stack ends
-- expect: 200 alive
function main(env, con)
  local function by_pcall() return pcall(by_pcall) end
  by_pcall()
  local function by_xpcall() return xpcall(by_xpcall, by_xpcall) end
  pcall(by_xpcall)
  local function handler() error(handler) end
  xpcall(error, handler)
  xpcall(handler, handler)
  xpcall(error, error)
  xpcall(error, pcall)
  xpcall(error, xpcall)
  pcall(pcall, pcall, pcall, pcall, error)
  pcall(error, setmetatable({}, { __tostring = error }))
  con:puts("alive")
end
