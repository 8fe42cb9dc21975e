-- The body of the request, byte by byte.
function main(env, con)
   con:header("Content-Type", "application/octet-stream")
   con:puts(con:gets() or "")
end
