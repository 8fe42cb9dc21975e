-- attack: LuaJIT's 64-bit numbers: divisions, shifts and powers at the ends of the range
-- only: luajit21
-- expect: 200 alive
function main(env, con)
  assert(loadstring([[
    local low = -0x7fffffffffffffffLL - 1
    local results = { low / -1LL, low % -1LL, low * -1LL, -low, low / 1LL }
    pcall(function() return low / 0LL end)
    pcall(function() return low % 0LL end)
    pcall(function() return 1ULL / 0ULL end)
    pcall(function() return 2LL ^ 63LL end)
    pcall(function() return low ^ low end)
    pcall(function() return 1i + 1LL end)
    pcall(function() return 1i * 1i end)
    pcall(bit.lshift, 1LL, 1e300)
    pcall(bit.bswap, low)
    pcall(bit.tohex, low, -2 ^ 31)
    pcall(function() for i = low, low + 2LL do end end)
    pcall(function() return ({ [low] = 1 })[low] end)
    pcall(function() return low < "x", low == {} end)
    pcall(string.rep, "x", low)
    pcall(string.format, "%d %x %s %q", low, low, low, low)
    pcall(table.concat, { low })
    pcall(tostring, 3i)
  ]]))()
  con:puts("alive")
end
