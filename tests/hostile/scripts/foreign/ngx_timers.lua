-- attack: timers without end, which make further ones
-- expect: 200 put or budget cpu
-- asks: 2
ngx.print("put")
local function again()
  ngx.print("ESCAPED")
  for _ = 1, 100 do pcall(ngx.timer.at, 0, again) end
end
for _ = 1, 1000 do ngx.timer.at(0, again) end
ngx.timer.at(0, function() while true do pcall(ngx.exit, 500) end end)
