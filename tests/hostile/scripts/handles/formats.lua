-- attack: read, seek and buffer with every odd format, size and position
-- expect: 200 alive
function main(env, con)
  local odd = { "*n", "n", "*a", "*l", "*L", "*", "", "*x", "\0", ("*a"):rep(1000), 0, -1, 0.5, 1e308, 0 / 0, 1 / 0, 2 ^ 53,
    2 ^ 31, 2 ^ 63, {}, print, true }
  for _, a in ipairs(odd) do
    for _, b in ipairs(odd) do
      local file = io.open("../canary.lua")
      pcall(file.seek, file, "set", a)
      pcall(file.read, file, b)
      pcall(file.read, file, a, b, a)
      pcall(file.seek, file, "cur", b)
      pcall(file.seek, file, "end", a)
      pcall(file.read, file, "*n", "*l", a)
      pcall(file.seek, file, a, b)
      pcall(file.setvbuf, file, a, b)
      pcall(function() for _ in file:lines(a, b) do break end end)
      pcall(file.write, file, a, b)
    end
  end
  local unpack = table.unpack or unpack
  local file = io.open("../canary.lua")
  pcall(file.read, file, unpack({}, 1, 5000))
  pcall(file.lines, file, unpack({}, 1, 5000))
  con:puts("alive")
end
