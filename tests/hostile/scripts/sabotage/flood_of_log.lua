-- attack: log without end
-- expect: budget cpu
function main() while true do print(("x"):rep(1000)) end end
