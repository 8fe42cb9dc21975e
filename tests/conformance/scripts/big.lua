-- As many bytes as the query says, of a pattern that shows gaps and repeats.
local block = {}
for i = 0, 4095 do
   block[#block + 1] = string.char(i % 251)
end
block = table.concat(block)

function main(env, con)
   con:header("Content-Type", "application/octet-stream")
   local left = tonumber(env.QUERY_STRING)
   while left > 0 do
      con:puts(block:sub(1, left))
      left = left - #block
   end
end
