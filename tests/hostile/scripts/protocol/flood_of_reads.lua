-- attack: read a long body byte by byte
-- body: 60000
-- expect: 200 60000
function main(env, con)
  local count = 0
  while con:read(1) do count = count + 1 end
  con:puts(count)
end
