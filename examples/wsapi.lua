-- A WSAPI application: it tells what it was asked, piece by piece.
local luafarm = require("luafarm")

local app = {}

function app.run(wsapi_env)
  local status = wsapi_env.PATH_INFO == "/" and 200 or 404
  local function body()
    coroutine.yield("<!DOCTYPE html>\n<title>WSAPI</title>\n")
    coroutine.yield("<p>" .. status .. ": you asked for "
      .. luafarm.escape_html(wsapi_env.PATH_INFO) .. "</p>\n")
    coroutine.yield("<p>with the query '" .. luafarm.escape_html(wsapi_env.QUERY_STRING) .. "'</p>\n")
    local sent = wsapi_env.input:read()
    if sent then coroutine.yield("<p>and a body of " .. #sent .. " bytes</p>\n") end
  end
  return status, { ["Content-Type"] = "text/html; charset=utf-8" }, coroutine.wrap(body)
end

return app
