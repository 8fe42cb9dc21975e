local s = "Hello World"

function handle(r)
   r:puts(s)
   return apache2.OK
end
