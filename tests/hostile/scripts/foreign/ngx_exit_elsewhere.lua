-- attack: ngx.exit in a handler of another kind, where nobody takes it
-- expect: 500 no request is running
-- asks: 2
local _ = ngx and ngx.var

_G["main"] = function(env, con) ngx.exit(200) end
