function handle(r)
   local lines = {
      "REQUEST_METHOD=" .. r.method .. "\n",
      "QUERY_STRING=" .. (r.args or "") .. "\n",
      "SERVER_PROTOCOL=" .. r.protocol .. "\n",
      "REMOTE_ADDR=" .. r.useragent_ip .. "\n",
   }
   for name, value in pairs(r:headers_in_table()) do
      lines[#lines + 1] = "HTTP_" .. string.upper((string.gsub(name, "-", "_"))) .. "=" .. value .. "\n"
   end
   table.sort(lines)
   r:puts(table.concat(lines))
   return apache2.OK
end
