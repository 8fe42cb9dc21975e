-- attack: a substitution of quadratic time
-- expect: kill
function main() (("a"):rep(500000)):gsub("a-b", "") end
