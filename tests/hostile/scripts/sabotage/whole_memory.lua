-- attack: take the memory of the whole VM host, state by state
-- expect: 200 taken or budget memory or 500 not enough memory
-- asks: 3
local kept = ("x"):rep(5000000)

function main(env, con) con:puts("taken " .. #kept % 7) end
