local headers = { ["Content-Type"] = "text/html" }

return function(env)
   local body = env.input:read(tonumber(env.CONTENT_LENGTH)) or ""
   return "200 OK", headers, string.format("%d %s", #body, string.sub(body, -16))
end
