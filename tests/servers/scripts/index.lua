-- The index of the root, and what a front controller is given.
function main(env, con)
   con:header("Content-Type", "text/plain")
   con:puts("index of " .. env.SCRIPT_NAME .. " for [" .. (env.PATH_INFO or "") .. "]["
      .. (env.QUERY_STRING or "") .. "]")
end
