local md5 = require("md5")
local base64 = require("base64")
local s = "Hello World"

function handle(r)
   for i = 1, 100 do
      r:puts(string.format("%s%d = %s\n", s, i, md5.digest(base64.encode(s .. i))))
   end
   return apache2.OK
end
