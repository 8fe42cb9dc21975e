local body = string.rep("0123456789abcdef", 6400)
local headers = { ["Content-Type"] = "text/html" }

return function(env)
   return "200 OK", headers, body
end
