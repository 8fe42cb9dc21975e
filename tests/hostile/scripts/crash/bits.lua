-- attack: bit operations with odd widths and numbers
-- expect: 200 alive
function main(env, con)
  local library = bit or bit32 or {}
  local numbers = { 0, -1, 2 ^ 31, 2 ^ 32, 2 ^ 53, -2 ^ 53, 1e308, 1 / 0, 0 / 0, 31, 32, 64, "7" }
  for _, f in pairs(library) do
    for _, a in ipairs(numbers) do
      for _, b in ipairs(numbers) do
        pcall(f, a, b)
        pcall(f, a, b, a)
        pcall(f, 1, 1, a, b)
      end
    end
    pcall(f)
  end
  con:puts("alive")
end
