-- attack: resume coroutines that an earlier request left behind by ngx.exit
-- expect: 200 refused
-- asks: 3
if left then
  for _, thread in ipairs(left) do
    local ok, found = coroutine.resume(thread, true, "forged", "forged")
    if ok and found == "forged" then ngx.print("ESCAPED ") end
    pcall(coroutine.wrap(function() coroutine.resume(thread) end))
  end
end
left = {}
ngx.print("refused")
local inner = coroutine.create(function()
  if pcall(ngx.exit, 200) then ngx.print("ESCAPED: went on ") end
  return "given up"
end)
local outer = coroutine.create(function() return pcall(coroutine.resume, inner) end)
left = { inner, outer }
coroutine.resume(outer)
ngx.print("ESCAPED: went on")
