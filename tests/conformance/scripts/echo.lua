-- The body, and nothing else.
function main(env, con)
   con:header("Content-Type", "application/octet-stream")
   con:puts(con:gets() or "")
end
