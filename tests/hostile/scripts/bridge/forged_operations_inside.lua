-- attack: yield the same inside coroutines: the values belong to the script's own resume
-- expect: 200 refused
function main(env, con)
  for number = -1, 14 do
    local thread = coroutine.create(function() coroutine.yield(number, "", "ESCAPED", "") end)
    local ok, first, _, third = coroutine.resume(thread)
    if not ok or first ~= number or third ~= "ESCAPED" then con:puts("ESCAPED " .. number) end
  end
  con:puts("refused")
end
