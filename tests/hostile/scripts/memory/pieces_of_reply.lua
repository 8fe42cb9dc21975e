-- attack: a reply of pieces so small that they take more room than their bytes
-- expect: budget memory
function main(env, con) while true do con:puts("") con:puts("x") end end
