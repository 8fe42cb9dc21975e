-- attack: text nested so deep that a recursive parser runs out of C stack
-- expect: 200 refused
local load_text = loadstring or load

function main(env, con)
  local compiled = 0
  for _, piece in ipairs { { "(", ")" }, { "{", "}" }, { "f(", ")" }, { "a[", "]" },
    { "not ", "" }, { "- ", "" }, { "1 .. ", "" }, { "2 ^ ", "" }, { "function() return ", " end" } } do
    local deep = "return " .. piece[1]:rep(50000) .. "1" .. piece[2]:rep(50000)
    if load_text(deep) then compiled = compiled + 1 end
  end
  for _, piece in ipairs { "do ", "if x then ", "while x do ", "repeat ", "for i = 1, 2 do " } do
    if load_text(piece:rep(50000)) then compiled = compiled + 1 end
  end
  con:puts(compiled == 0 and "refused" or "ESCAPED " .. compiled)
end
