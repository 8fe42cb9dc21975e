local md5 = require("md5")
local base64 = require("base64")
local s = "Hello World"

function main(env, con)
   for i = 1, 100 do
      con:puts(string.format("%s%d = %s\n", s, i, md5.digest(base64.encode(s .. i))))
   end
end
