-- attack: use the request object of an earlier request
-- expect: 200 refused
-- asks: 2
local kept, method

function main(env, con)
  method = method or con.puts
  kept = kept or con
  local late = coroutine.wrap(function() coroutine.yield() con:puts("") end)
  late()
  con:puts("refused")
end

function startup()
  local ok = pcall(function() kept:puts("ESCAPED") end)
  assert(not ok)
end
