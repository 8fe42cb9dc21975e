-- attack: malformed patterns, and patterns whose matcher recurses
-- expect: 200 alive
function main(env, con)
  for _, pattern in ipairs { "%", "[", "[%", "[^", "[]", "[a-", "%b", "%bx", "%f", "%f[", "(", ")", "(()", "())",
    "%1", "%9", "%0", "((((", "^*", "[%z-\255]", "\0", "[\0]", "%\0", ("("):rep(33) .. (")"):rep(33),
    ("a?"):rep(100000), ("%s*"):rep(3000), ("(a)"):rep(32) .. "%32", ("[a-z]"):rep(20000), "%g%", "-", "*", "?" } do
    for _, text in ipairs { "", "aaa", "\0\255", ("a"):rep(300) } do
      pcall(string.find, text, pattern)
      pcall(string.match, text, pattern, -1)
      pcall(string.gsub, text, pattern, "%1")
      pcall(string.gsub, text, pattern, "%9%0%")
      pcall(function() for _ in text:gmatch(pattern) do break end end)
    end
  end
  con:puts("alive")
end
