-- attack: digests and base64 for ever
-- expect: budget cpu
local md5, base64 = require "md5", require "base64"

function main()
  local text = ("x"):rep(10000)
  while true do pcall(md5.digest, text) pcall(base64.encode, text) end
end
