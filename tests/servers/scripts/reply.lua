-- ?bytes: so many, in a pattern whose period is no power of two.
function main(env, con)
   local size = tonumber(env.QUERY_STRING)
   con:header("Content-Type", "application/octet-stream")
   con:puts(string.sub(string.rep("0123456789abc", math.ceil(size / 13)), 1, size))
end
