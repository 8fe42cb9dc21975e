-- Every parameter and the body, each behind its lengths, so that any bytes pass.
function main(env, con)
   con:header("Content-Type", "application/octet-stream")
   local parts = {}
   for name, value in pairs(env) do
      value = tostring(value)
      parts[#parts + 1] = #name .. " " .. #value .. "\n" .. name .. value
   end
   con:puts(table.concat(parts) .. "\n" .. (con:gets() or ""))
end
