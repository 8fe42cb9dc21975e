local md5 = require("md5")
local base64 = require("base64")
local s = "Hello World"
local headers = { ["Content-Type"] = "text/html" }

return function(env)
   local lines = {}
   for i = 1, 100 do
      lines[i] = string.format("%s%d = %s\n", s, i, md5.digest(base64.encode(s .. i)))
   end
   return "200 OK", headers, table.concat(lines)
end
