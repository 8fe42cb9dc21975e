-- attack: one endless call in the main chunk, before any request
-- expect: kill
local _ = (("a"):rep(60000)):find((".-"):rep(8) .. "b")

function main() end
