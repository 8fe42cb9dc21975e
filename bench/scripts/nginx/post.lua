ngx.req.read_body()
local body = ngx.req.get_body_data() or ""
ngx.print(string.format("%d %s", #body, string.sub(body, -16)))
