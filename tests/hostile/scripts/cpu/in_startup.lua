-- attack: loop in startup()
-- expect: budget cpu
function main() end
function startup() while true do end end
