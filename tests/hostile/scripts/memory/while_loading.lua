-- attack: fill the memory in the main chunk
-- expect: budget memory
local t = {}
for index = 1, 1e9 do t[index] = ("x"):rep(1000) .. index end

function main() end
