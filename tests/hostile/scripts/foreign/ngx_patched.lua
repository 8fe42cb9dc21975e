-- attack: patch everything of ngx for the next request, and keep what belongs to this one
-- expect: 200 served
-- asks: 3
local say, get_headers = kept_say or ngx.print, kept_headers or ngx.req.get_headers
if kept_context then
  if ngx.ctx == kept_context or ngx.ctx.secret or ngx.var.secret then say("ESCAPED: the context of another request ") end
  if ngx.header["X-Escaped"] or get_headers()["x-kept"] then say("ESCAPED: headers of another request ") end
end
set_header = set_header or ngx.req.set_header
kept_say, kept_headers, kept_context = say, get_headers, ngx.ctx
ngx.ctx.secret, ngx.var.secret = "x", "x"
set_header("X-Kept", "1")
say("served")
for _, t in ipairs { ngx.req, ngx.timer, ngx.config, ngx.worker, ngx.location, ngx.shared } do
  for name in pairs(type(t) == "table" and t or {}) do t[name] = error end
end
for _, name in ipairs { "say", "exit", "now", "sleep", "time", "decode_args", "encode_args", "redirect", "null", "config" } do ngx[name] = error end
for _, t in ipairs { ngx.header, ngx.var } do
  pcall(rawset, t, "x", nil)
  pcall(setmetatable, t, nil)
end
package.loaded.cjson = nil
local cjson = require "cjson"
cjson.encode, cjson.decode, cjson.null = error, error, nil
