-- attack: real addresses of objects by the text that functions of ngx make of them
-- expect: 200 refused
local function number(text) return tonumber((tostring(text):match("0x%x+"))) end
local step = number({})
step = number({}) - step
local function check(found, first, name)
  local told = number(found)
  if told and told ~= first + step then ngx.print("ESCAPED by " .. name .. " ") end
end
for name, way in pairs {
  value = function(v) ngx.req.set_header("X-V", v) return ngx.req.get_headers()["x-v"] end,
  first = function(v) ngx.req.set_header("X-V", { v }) return ngx.req.get_headers()["x-v"] end,
  args = function(v) ngx.req.set_uri_args(v) return ngx.var.args end,
  print = function(v) return select(2, pcall(ngx.header, v)) end,
  escape = function(v) return select(2, pcall(ngx.escape_uri, v)) end,
  encode = function(v) return select(2, pcall(ngx.encode_args, { x = v })) end,
  status = function(v) return select(2, pcall(function() ngx.status = v end)) end,
  md5 = function(v) return select(2, pcall(ngx.md5, v)) end,
  exit = function(v) return select(2, pcall(ngx.exit, v)) end,
  time = function(v) return select(2, pcall(ngx.http_time, v)) end,
  log = function(v) return select(2, pcall(ngx.log, v, v)) end,
} do
  local first = number({})
  local own = {}
  check(way(function() return own end), first, name)
end
ngx.req.set_uri_args("")
local first = number({})
ngx.req.set_header({}, "x")
for name in pairs(ngx.req.get_headers()) do
  local hex = name:lower():match("0x%x+")
  if hex and tonumber(hex) ~= first + step then ngx.print("ESCAPED by a name ") end
end
ngx.print("refused")
