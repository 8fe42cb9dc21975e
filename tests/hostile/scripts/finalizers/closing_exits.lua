-- attack: end a request that has failed already, by os.exit in what is still to be closed
-- only: lua54 lua55
-- expect: 500 boom
-- asks: 2
function main(env, con)
  load([[
    local first <close> = setmetatable({}, { __close = function() os.exit() end })
    local second <close> = setmetatable({}, { __close = function() con:puts("x") error("boom", 0) end })
    error("boom", 0)
  ]])()
end
