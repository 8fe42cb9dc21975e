local md5, base64 = ngx.md5, ngx.encode_base64
local s = "Hello World"

local lines = {}
for i = 1, 100 do
   lines[i] = string.format("%s%d = %s\n", s, i, md5(base64(s .. i)))
end
ngx.print(lines)
