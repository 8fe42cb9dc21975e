local md5 = require("md5")
local base64 = require("base64")
local s = "Hello World"

function handle(r)
   r:puts(string.format("%s = %s", s, md5.digest(base64.encode(s))))
   return apache2.OK
end
