-- attack: string.pack and unpack with every size, alignment and position
-- only: lua53 lua54 lua55
-- expect: 200 alive
function main(env, con)
  for _, format in ipairs { "!", "!17", "!0", "i17", "i0", "i16", "s16", "s1", "Xi16", "X", "Xz", "!16Xi16", "c",
    "c2147483648", "c99999999999999999999", "z", "<!4 i3 Xi8", ("i8"):rep(500), "j", "n", "\0", "s", "x" } do
    pcall(string.packsize, format)
    for _, value in ipairs { 0, -1, "text", 2 ^ 63, math.maxinteger, ("x"):rep(300), "\0" } do
      pcall(string.pack, format, value)
    end
    for _, position in ipairs { 1, -1, 0, 9, math.maxinteger, math.mininteger } do
      pcall(string.unpack, format, ("\255"):rep(32), position)
    end
  end
  con:puts("alive")
end
