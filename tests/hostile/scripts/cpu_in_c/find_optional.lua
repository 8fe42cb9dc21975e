-- attack: optional items that double the time each
-- expect: kill
function main() (("a"):rep(30)):find(("a?"):rep(30) .. ("a"):rep(30) .. "b") end
