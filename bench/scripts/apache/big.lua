local body = string.rep("0123456789abcdef", 6400)

function handle(r)
   r:puts(body)
   return apache2.OK
end
