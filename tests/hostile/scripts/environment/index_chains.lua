-- attack: long and circular chains of __index
-- expect: 200 alive
function main(env, con)
  local t = {}
  for _ = 1, 20000 do t = setmetatable({}, { __index = t }) end
  pcall(function() return t.x end)
  local a, b = {}, {}
  setmetatable(a, { __index = b, __newindex = b })
  setmetatable(b, { __index = a, __newindex = a })
  pcall(function() return a.x end)
  pcall(function() a.x = 1 end)
  local own = {}
  own.__index, own.__newindex = own, own
  setmetatable(own, own)
  pcall(function() return own.x end)
  pcall(function() own.x = 1 end)
  con:puts("alive")
end
