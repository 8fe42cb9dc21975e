-- Every parameter, one NAME=value a line, sorted.
function main(env, con)
   con:header("Content-Type", "text/plain")
   local lines = {}
   for name, value in pairs(env) do
      lines[#lines + 1] = name .. "=" .. tostring(value)
   end
   table.sort(lines)
   con:puts(table.concat(lines, "\n"))
end
