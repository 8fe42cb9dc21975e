-- Every parameter is looked at; those that each peer has alike are printed.
local cgi = {
   REQUEST_METHOD = true, QUERY_STRING = true, SERVER_PROTOCOL = true, REMOTE_ADDR = true,
}

function main(env, con)
   local lines = {}
   for name, value in pairs(env) do
      if cgi[name] or string.find(name, "^HTTP_") then
         lines[#lines + 1] = name .. "=" .. value .. "\n"
      end
   end
   table.sort(lines)
   con:puts(table.concat(lines))
end
