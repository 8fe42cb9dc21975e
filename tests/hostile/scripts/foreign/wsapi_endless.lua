-- attack: an iterator of WSAPI that never ends
-- expect: budget reply
return function() return 200, {}, function() return ("x"):rep(1000) end end
