-- attack: globals without end
-- expect: budget memory
function main() for index = 1, 1e9 do _G["name" .. index] = index end end
