-- attack: utf8 functions over long and broken text, to and fro
-- expect: 200 alive or budget memory
function main(env, con)
  if not utf8 then return con:puts("alive") end
  local text = ("\195\164"):rep(200000)
  for _ = 1, 100 do
    utf8.len(text)
    pcall(utf8.offset, text, -190000)
    pcall(utf8.codepoint, text, 1, #text)
    pcall(utf8.len, text, -1, 1e18)
    pcall(utf8.len, ("\128"):rep(10))
    pcall(utf8.char, 0x7fffffff, 0x80000000)
  end
  con:puts("alive")
end
