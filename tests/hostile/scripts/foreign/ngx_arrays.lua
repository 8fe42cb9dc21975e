-- attack: put arrays within themselves, of false lengths, and as wide as they are deep
-- expect: 200 alive or budget cpu
local circle = {}
circle[1] = circle
pcall(ngx.print, circle)
pcall(ngx.log, 4, circle)
pcall(ngx.print, setmetatable({}, { __len = function() return "x" end }))
pcall(ngx.encode_args, { x = circle })
local wide = "x"
for _ = 1, 12 do wide = { wide, wide, wide } end
pcall(ngx.log, 4, wide)
pcall(ngx.decode_args, ("a=b&"):rep(100000), 0)
pcall(ngx.quote_sql_str, ("'"):rep(1e6))
ngx.print("alive")
