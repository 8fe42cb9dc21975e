-- A script of OpenResty: its main chunk serves the request.
local luafarm = require("luafarm")
local visitor = ngx.var.arg_name or ngx.var.remote_addr or "somebody"

if ngx.req.get_method() == "POST" then
  ngx.req.read_body()
  local form = ngx.req.get_post_args()
  return ngx.redirect(ngx.var.uri .. "?" .. ngx.encode_args { name = form.name }, 303)
elseif visitor == "nobody" then
  ngx.exit(ngx.HTTP_FORBIDDEN)
end

ngx.header.content_type = "text/html; charset=utf-8"
ngx.say("<!DOCTYPE html>\n<title>ngx</title>")
ngx.say("<p>Hello, ", luafarm.escape_html(visitor), "! It is ", ngx.utctime(), ".</p>")
ngx.say("<form method=\"post\"><input name=\"name\"> <button>That is me</button></form>")
