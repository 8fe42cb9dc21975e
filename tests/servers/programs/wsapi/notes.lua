-- A program for WSAPI with its library of requests and replies: notes with attachments, and a visitor
-- who is known by a cookie.
local request, response = require("wsapi.request"), require("wsapi.response")
local app, notes = {}, {}

local routes = {}

function routes.GET(req, res)
  local id = req.path_info:match("^/(%d+)$")
  if req.path_info == "/" then
    local visits = tonumber(req.cookies.visits) or 0
    res:set_cookie("visits", { value = visits + 1, path = "/" })
    res:write(("%d notes, visit %d, query %s\n"):format(#notes, visits + 1, req.GET.q or "none"))
  elseif id and notes[tonumber(id)] then
    local note = notes[tonumber(id)]
    res.headers["Content-Type"] = note.type
    res.headers["X-Name"] = { note.name, "second line" }
    res:write(note.text)
  else
    res.status = 404
    res:write("no such note\n")
  end
end

function routes.POST(req, res)
  local file = req.POST.file
  if not req.POST.title or req.POST.title == "" then
    res.status = "422 Unprocessable Entity"
    res:write("a note without a title\n")
    return
  end
  notes[#notes + 1] = {
    name = req.POST.title,
    text = type(file) == "table" and file.contents or req.POST.text,
    type = type(file) == "table" and file["content-type"] or "text/plain",
  }
  res.status = 303
  res.headers["Location"] = req:link("/" .. #notes)
end

function routes.DELETE(req, res)
  res:delete_cookie("visits", "/")
  res:forward("none")
end

function app.run(env)
  local req, res = request.new(env), response.new(200, { ["Content-Type"] = "text/plain" })
  local route = routes[req.method]
  if not route then return 405, { Allow = "GET, POST, DELETE" }, coroutine.wrap(function() end) end
  local ok, why = pcall(route, req, res)
  if not ok then
    env.error:write(tostring(why))
    res.status = 500
  end
  return res:finish()
end

return app
