-- attack: what is to be closed at ngx.exit never ends
-- only: lua54 lua55
-- expect: budget cpu
-- asks: 2
ngx.print("put")
load("local x <close> = setmetatable({}, { __close = function() while true do pcall(ngx.exit, 500) end end }) ngx.exit(200)")()
