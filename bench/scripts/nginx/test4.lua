local md5, base64 = ngx.md5, ngx.encode_base64
local s = "Hello World"

ngx.print(string.format("%s = %s", s, md5(base64(s))))
