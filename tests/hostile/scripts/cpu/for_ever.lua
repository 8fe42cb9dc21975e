-- attack: a counting loop that takes ages
-- expect: budget cpu
function main() for _ = 1, 1e18 do end end
