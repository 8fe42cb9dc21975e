-- The state's own counter: how often it ran, and what the request before left behind.
local seen = 0
local left = ""

function main(env, con)
   seen = seen + 1
   con:puts(seen .. " " .. tostring(env.LEFT) .. " " .. (con:gets() or "nothing"))
   left = env.LEFT
end
