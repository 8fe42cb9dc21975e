-- attack: balanced brackets that are tried from every position
-- expect: kill
function main() (("("):rep(400000)):find("%b()") end
