-- attack: repeat an empty string so often that the loop never ends
-- expect: 200 0
function main(env, con)
  local n = 0
  for _, count in ipairs { 1e15, 2 ^ 53, 2 ^ 31, 1 / 0 } do n = n + #(""):rep(count) + #(""):rep(count, "") end
  con:puts(n)
end
