-- attack: read the body with sizes beyond every limit
-- body: 100000
-- expect: 200 100000
function main(env, con)
  local size = 0
  for _, most in ipairs { 1, 0.99 + 1, 1e300, 1 / 0, 2 ^ 53, "7", 2 ^ 31, 2 ^ 63, 4096.5 } do
    size = size + #(con:read(most) or "")
  end
  local rest = con:gets()
  con:puts(size + #(rest or ""))
end
