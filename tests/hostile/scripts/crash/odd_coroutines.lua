-- attack: resume, wrap and close what is dead, running, normal or no coroutine at all
-- expect: 200 alive
function main(env, con)
  local close = coroutine.close or print
  local dead = coroutine.create(function() end)
  coroutine.resume(dead)
  local own
  own = coroutine.create(function()
    pcall(coroutine.resume, own)
    pcall(close, own)
    pcall(coroutine.wrap(function() coroutine.resume(own) close(own) end))
    coroutine.yield()
    error("x")
  end)
  coroutine.resume(own)
  coroutine.resume(own)
  coroutine.resume(own)
  for _, value in ipairs { dead, own, 1, "x", print, {}, main } do
    for _, name in ipairs { "resume", "close", "status", "wrap", "create", "isyieldable", "running" } do
      pcall(coroutine[name] or print, value)
    end
  end
  local self
  self = coroutine.wrap(function() return self() end)
  pcall(self)
  pcall(function() for _ in coroutine.wrap(function() error("x") end) do end end)
  con:puts("alive")
end
