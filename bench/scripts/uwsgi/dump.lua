local cgi = {
   REQUEST_METHOD = true, QUERY_STRING = true, SERVER_PROTOCOL = true, REMOTE_ADDR = true,
}
local headers = { ["Content-Type"] = "text/html" }

return function(env)
   local lines = {}
   for name, value in pairs(env) do
      if cgi[name] or string.find(name, "^HTTP_") then
         lines[#lines + 1] = name .. "=" .. value .. "\n"
      end
   end
   table.sort(lines)
   return "200 OK", headers, table.concat(lines)
end
