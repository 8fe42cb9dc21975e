function main(env, con)
   local body = con:gets() or ""
   con:puts(string.format("%d %s", #body, string.sub(body, -16)))
end
