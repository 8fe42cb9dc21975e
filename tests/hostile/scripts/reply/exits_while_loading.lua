-- attack: end a request that there is not yet, by os.exit in the main chunk
-- expect: 500 no request is running
pcall(os.exit)
pcall(coroutine.wrap(os.exit))
os.exit()

function main(env, con) con:puts("ESCAPED") end
