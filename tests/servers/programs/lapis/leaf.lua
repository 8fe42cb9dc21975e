-- A small framework in the style of Lapis: routes with names, filters before them, parameters, views
-- that build HTML by functions, sessions in a signed cookie, JSON.
local cjson = require("cjson")
local leaf = {}
local Application = {}
Application.__index = Application

local function escape(text)
  return (tostring(text):gsub("[&<>\"']", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;", ["'"] = "&#039;" }))
end

-- Run a function whose globals are tags.
local function render(view, self)
  local buffer = {}
  local function put(...) for _, part in ipairs { ... } do buffer[#buffer + 1] = part end end
  local function tag(name)
    return function(attributes, inner)
      if type(attributes) ~= "table" then attributes, inner = {}, attributes end
      put("<", name)
      local keys = {}
      for key in pairs(attributes) do keys[#keys + 1] = key end
      table.sort(keys)
      for _, key in ipairs(keys) do put(" ", key, '="', escape(attributes[key]), '"') end
      put(">")
      if type(inner) == "function" then inner() elseif inner ~= nil then put(escape(inner)) end
      put("</", name, ">")
    end
  end
  local env = setmetatable({ raw = put, text = function(t) put(escape(t)) end }, {
    __index = function(_, name)
      local value = _G[name]
      if value ~= nil then return value end
      return tag(name)
    end,
  })
  setfenv(view, env)(self)
  return table.concat(buffer)
end

local function sign(secret, text) return ngx.encode_base64(ngx.hmac_sha1(secret, text)) end

local function read_session(secret)
  local cookie = ngx.var.cookie_session
  local text, mark = ngx.unescape_uri(cookie or ""):match("^(.*)%.%-(.*)$")
  if not text or sign(secret, text) ~= mark then return {} end
  return cjson.decode(ngx.decode_base64(text))
end

local function write_session(secret, session)
  local text = ngx.encode_base64(cjson.encode(session))
  return "session=" .. ngx.escape_uri(text .. ".-" .. sign(secret, text)) .. "; Path=/; HttpOnly"
end

-- Fields and files of a multipart body, by the chunks of lua-resty-upload.
local function multipart(params)
  local upload = assert(require("resty.upload"):new(4096))
  local part
  while true do
    local kind, data = upload:read()
    if kind == "header" then
      part = part or { parts = {} }
      if data[1]:lower() == "content-disposition" then
        part.name = data[2]:match(' name="([^"]*)"')
        part.filename = data[2]:match('filename="([^"]*)"')
      end
    elseif kind == "body" then part.parts[#part.parts + 1] = data
    elseif kind == "part_end" then
      local content = table.concat(part.parts)
      params[part.name] = part.filename and { filename = part.filename, content = content } or content
      part = nil
    elseif kind == "eof" then return end
  end
end

local function read_params()
  local params = {}
  for key, value in pairs(ngx.req.get_uri_args()) do params[key] = value end
  if ngx.req.get_method() == "POST" then
    if (ngx.req.get_headers().content_type or ""):find("multipart/form-data", 1, true) then
      multipart(params)
    else
      ngx.req.read_body()
      for key, value in pairs(ngx.req.get_post_args()) do params[key] = value end
    end
  end
  return params
end

function leaf.Application(secret)
  return setmetatable({ routes = {}, filters = {}, secret = secret }, Application)
end

function Application.before_filter(self, f) self.filters[#self.filters + 1] = f end

for _, method in ipairs { "get", "post" } do
  Application[method] = function(self, name, path, action)
    local names = {}
    local pattern = path:gsub("%p", "%%%0"):gsub("%%:([%w]+)", function(key)
      names[#names + 1] = key
      return "([^/]+)"
    end)
    self.routes[#self.routes + 1] = { method = method:upper(), name = name, path = path,
      pattern = "^" .. pattern .. "$", names = names, action = action }
  end
end

local Request = {}
Request.__index = Request
function Request.url_for(self, name, values)
  for _, route in ipairs(self.app.routes) do
    if route.name == name then
      return ngx.var.SCRIPT_NAME .. route.path:gsub(":(%w+)", function(key) return ngx.escape_uri(values[key]) end)
    end
  end
  error("no route named " .. name)
end
function Request.write(self, reply)
  if type(reply) == "string" then return ngx.print(reply) end
  if reply.status then ngx.status = reply.status end
  if reply.redirect_to then return ngx.redirect(reply.redirect_to, reply.status) end
  if reply.json then
    ngx.header.content_type = "application/json"
    return ngx.print(cjson.encode(reply.json))
  end
  ngx.header.content_type = "text/html; charset=utf-8"
  ngx.print("<!DOCTYPE html>", render(reply.render, self))
end

function leaf.serve(app)
  local path = ngx.var.PATH_INFO
  if path == nil or path == "" then path = "/" end
  for _, route in ipairs(app.routes) do
    local found = { path:match(route.pattern) }
    if found[1] and route.method == ngx.req.get_method() then
      local self = setmetatable({ app = app, params = read_params() }, Request)
      for index, name in ipairs(route.names) do self.params[name] = ngx.unescape_uri(found[index]) end
      self.session = read_session(app.secret)
      for _, filter in ipairs(app.filters) do filter(self) end
      local reply = self.reply or route.action(self)
      ngx.header["Set-Cookie"] = write_session(app.secret, self.session)
      return self:write(reply)
    end
  end
  ngx.status = 404
  ngx.say("nothing at ", path)
end

return leaf
