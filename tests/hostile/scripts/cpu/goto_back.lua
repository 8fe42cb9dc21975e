-- attack: a loop of jumps
-- expect: budget cpu
function main() ::again:: goto again end
