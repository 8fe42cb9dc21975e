-- attack: the smallest integer by minus one, shifts beyond the width, loops that wrap around
-- only: lua53 lua54 lua55
-- expect: 200 alive
-- expect lua53: budget cpu
function main(env, con)
  local text = [[
    local low = math.mininteger
    local _ = low // -1, low % -1, low * -1, -low, low << 64, low >> 64, low << -1, low >> -64, low << math.maxinteger
    for _, f in ipairs { function() return low // 0 end, function() return low % 0 end,
      function() return 1.5 | 1 end, function() return "x" | 1 end, function() return 2^63 | 0 end } do
      pcall(f)
    end
    for i = math.maxinteger - 1, math.maxinteger do _ = i end
    for i = low + 1, low, -1 do _ = i end
    pcall(function() for i = 1, 2, 0 do end end)
    for i = 1, 0 / 0 do end
    for i = math.maxinteger, 1e308, 1 do end
  ]]
  load(text)()
  con:puts("alive")
end
