-- attack: ten thousand headers
-- expect: 500 headers of more than
function main(env, con)
  for index = 1, 10000 do con:header("X-" .. index, index) end
  con:puts("ESCAPED")
end
