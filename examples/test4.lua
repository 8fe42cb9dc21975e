-- The second script of luafcgid's README of 2009: a module computes something.
--
-- md5 and base64 are built in. The README wrote only require("md5") and then used the
-- global md5; that works on LuaJIT and Lua 5.1, the way below works in every dialect.
local md5 = require("md5")
local base64 = require("base64")

local text = "Hello World"

function handler()
  return string.format("%s = %s", text, md5.digest(base64.encode(text)))
end
