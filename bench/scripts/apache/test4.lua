local s = "Hello World"

function handle(r)
   r:puts(string.format("%s = %s", s, r:md5(r:base64_encode(s))))
   return apache2.OK
end
