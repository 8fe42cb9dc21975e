-- attack: digests of megabytes without end, in coroutines that are left
-- expect: budget cpu
local crypto = require "luafarm.crypto"

function main()
  local text = ("x"):rep(4000000)
  while true do coroutine.wrap(function() pcall(crypto.sha3_512, text) crypto.hmac("sha512", "k", text) end)() end
end
