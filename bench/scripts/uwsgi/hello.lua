local s = "Hello World"
local headers = { ["Content-Type"] = "text/html" }

return function(env)
   return "200 OK", headers, s
end
