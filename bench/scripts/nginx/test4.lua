local md5 = require("md5")
local base64 = require("base64")
local s = "Hello World"

ngx.print(string.format("%s = %s", s, md5.digest(base64.encode(s))))
