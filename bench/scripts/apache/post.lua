function handle(r)
   local body = r:requestbody() or ""
   r:puts(string.format("%d %s", #body, string.sub(body, -16)))
   return apache2.OK
end
