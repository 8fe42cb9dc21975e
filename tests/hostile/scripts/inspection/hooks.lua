-- attack: take the budgets' hook away by hooks of its own, and run without end
-- expect: budget cpu
function main(env, con)
  local function hook() con:puts("ESCAPED by a hook") end
  for _, mask in ipairs { "", "c", "r", "l", "crl" } do
    debug.sethook(hook, mask, 1)
    debug.sethook(coroutine.create(main), hook, mask, 1)
    debug.sethook()
    debug.sethook(nil)
    debug.sethook(coroutine.running() or main)
  end
  if debug.gethook() then con:puts("ESCAPED: the budgets' hook") end
  while true do debug.sethook() end
end
