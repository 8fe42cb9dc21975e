-- attack: timers that wait for an hour
-- expect: 200 put or budget wall
-- asks: 2
ngx.print("put")
for _ = 1, 50 do ngx.timer.at(3600, print) end
