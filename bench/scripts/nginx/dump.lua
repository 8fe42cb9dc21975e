local lines = {
   "REQUEST_METHOD=" .. ngx.req.get_method() .. "\n",
   "QUERY_STRING=" .. (ngx.var.query_string or "") .. "\n",
   "SERVER_PROTOCOL=" .. ngx.var.server_protocol .. "\n",
   "REMOTE_ADDR=" .. ngx.var.remote_addr .. "\n",
}
for name, value in pairs(ngx.req.get_headers(0, true)) do
   lines[#lines + 1] = "HTTP_" .. string.upper((string.gsub(name, "-", "_"))) .. "=" .. value .. "\n"
end
table.sort(lines)
ngx.print(lines)
