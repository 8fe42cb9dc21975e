local md5 = require("md5")
local base64 = require("base64")
local s = "Hello World"
local headers = { ["Content-Type"] = "text/html" }

return function(env)
   return "200 OK", headers, string.format("%s = %s", s, md5.digest(base64.encode(s)))
end
