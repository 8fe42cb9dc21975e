-- attack: positions that C takes for others, so that it walks the whole way between them
-- expect: 200 alive
function main(env, con)
  local u = table.unpack or unpack
  local calls = {
    function(n) table.insert({ 1, 2 }, n, "x") end,
    function(n) table.remove({ 1, 2 }, n) end,
    function(n) table.concat({ 1, 2 }, "", n, 2) end,
    function(n) table.concat({ 1, 2 }, "", 1, n) end,
    function(n) table.concat({}, "", -n, n) end,
    function(n) table.move({ 1 }, n, n, 1) end,
    function(n) table.move({ 1 }, -n, n, 1) end,
    function(n) table.create(n) end,
    function(n) u({}, n, n) end,
    function(n) u({}, n, 1) end,
    function(n) u({}, 1, n) end,
    function(n) select(n, 1, 2) end,
    function(n) string.rep("x", n, "") end,
    function(n) string.rep("", n, "") end,
    function(n) string.sub("abc", n, -n) end,
    function(n) string.byte("abc", n, -n) end,
    function(n) string.find("abc", "b", n) end,
    function(n) string.gsub("abc", "b", "c", n) end,
    function(n) string.pack("!" .. n .. "i" .. n, n) end,
    function(n) string.unpack("i4", "abcdefgh", n) end,
    function(n) utf8.codepoint("abc", n, -n) end,
    function(n) utf8.len("abc", n, -n) end,
    function(n) utf8.offset("abc", n, n) end,
    function(n) bit.lshift(1, n) end,
    function(n) bit32.extract(n, n, n) end,
    function(n) os.date("*t", n) end,
    function(n) os.time { year = n, month = n, day = n, hour = n } end,
    function(n) math.random(-n, n) end,
    function(n) math.randomseed(n) end,
    function(n) tonumber("10", n) end,
    function(n) con:read(n) end,
    function(n) con:cookie("a", "b", n) end,
  }
  local numbers = { 0 / 0, 1 / 0, -1 / 0, -0.0, 1e308, 2 ^ 53, 2 ^ 64 }
  for power = 30, 64 do
    for _, more in ipairs { -1, 0, 1 } do
      numbers[#numbers + 1] = 2 ^ power + more
      numbers[#numbers + 1] = -2 ^ power + more
    end
  end
  for _, name in ipairs { "maxinteger", "mininteger" } do numbers[#numbers + 1] = math[name] end
  for _, call in ipairs(calls) do
    for _, n in ipairs(numbers) do pcall(call, n) end
  end
  con:puts("alive")
end
