-- attack: an empty loop
-- expect: budget cpu
function main() while true do end end
