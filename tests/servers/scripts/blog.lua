-- What a page that is asked for without its ending is given.
function main(env, con)
   con:header("Content-Type", "text/plain")
   con:puts("blog as " .. env.SCRIPT_NAME .. " for [" .. (env.PATH_INFO or "") .. "]["
      .. (env.QUERY_STRING or "") .. "]")
end
