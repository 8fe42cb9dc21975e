-- attack: take the handler away while requests come
-- expect: 200 last or 500 main() function not found
-- asks: 2
function main(env, con)
  con:puts("last")
  main = 1
end
