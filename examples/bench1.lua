-- luafcgid's benchmark of 2010: a hundred digests, and one long reply.
--
-- By then handlers were called main and got two arguments: the request's environment, and
-- the request itself, to which the reply is written.
local md5 = require("md5")
local base64 = require("base64")

local text = "Hello World"

function main(env, req)
  local lines = { "<pre>" }
  for i = 1, 100 do
    local digest = md5.digest(base64.encode(text .. i))
    lines[#lines + 1] = string.format("%s + %d = %s", text, i, digest)
  end
  lines[#lines + 1] = "</pre>"
  req:puts(table.concat(lines, "\r\n"))
end
