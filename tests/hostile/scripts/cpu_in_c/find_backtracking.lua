-- attack: a pattern that backtracks for hours within one call
-- expect: kill
function main() (("a"):rep(60000)):find((".-"):rep(8) .. "b") end
