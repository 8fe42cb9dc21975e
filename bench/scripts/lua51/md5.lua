-- `md5.digest` as scripts of luafcgid expect it, over the C library of Debian's lua-md5.
local sum = require("md5.core").sum
local hex = {}

for i = 0, 255 do
   hex[string.char(i)] = string.format("%02x", i)
end

return {
   digest = function(text)
      return (string.gsub(sum(text), ".", hex))
   end,
}
