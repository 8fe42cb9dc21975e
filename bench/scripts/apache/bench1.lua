local s = "Hello World"

function handle(r)
   for i = 1, 100 do
      r:puts(string.format("%s%d = %s\n", s, i, r:md5(r:base64_encode(s .. i))))
   end
   return apache2.OK
end
