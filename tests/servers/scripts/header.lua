-- A header of ?bytes, and how long the request's X-Long was.
function main(env, con)
   con:header("X-Long", string.rep("h", tonumber(env.QUERY_STRING)))
   con:puts(tostring(#(env.HTTP_X_LONG or "")))
end
