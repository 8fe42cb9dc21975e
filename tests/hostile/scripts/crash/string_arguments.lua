-- attack: positions, counts and codes at the ends of every range
-- expect: 200 alive or budget memory
function main(env, con)
  local numbers = { -1, 256, 2 ^ 31, -2 ^ 31, 1e308, 0 / 0, "0x7fffffffffffffff",
    math.maxinteger or 1, math.mininteger or 1 }
  for _, a in ipairs(numbers) do
    for _, b in ipairs(numbers) do
      for _, name in ipairs { "sub", "byte", "find", "rep", "gsub", "match", "len", "reverse", "char" } do
        pcall(string[name], "some text", a, b)
      end
      pcall(string.byte, ("x"):rep(100000), a, b)
      pcall(string.char, a, b)
      pcall(string.find, "x", "x", a, b)
      pcall(string.gsub, "xxxx", "x", "y", a)
      pcall(table.concat, { 1, 2 }, ",", a, b)
      pcall(select, a, b)
      pcall(math.random, a, b)
      pcall(math.fmod, a, b)
      pcall(math.ldexp or print, a, b)
      pcall(function() return a % b end)
      pcall(function() return a ^ b end)
    end
    pcall(math.randomseed, a)
    pcall(tonumber, "zz", a)
  end
  math.randomseed(1)
  con:puts("alive")
end
