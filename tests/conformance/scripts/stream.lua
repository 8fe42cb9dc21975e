-- Ten pieces, each flushed.
function main(env, con)
   for i = 1, 10 do
      con:puts("piece " .. i .. "\n")
      con:flush()
   end
end
