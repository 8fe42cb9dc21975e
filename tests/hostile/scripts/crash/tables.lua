-- attack: keys and sizes at the ends of every range, changed while they are walked
-- expect: 200 alive
function main(env, con)
  local t = {}
  for _, key in ipairs { 2 ^ 31, -2 ^ 31, 2 ^ 53, 1e308, 1 / 0, -1 / 0, 0.5, "", "\0", t, print } do t[key] = key end
  pcall(function() t[0 / 0] = 1 end)
  pcall(function() t[nil] = 1 end)
  for key in pairs(t) do t[key] = nil end
  for index = 1, 1000 do t[index] = index end
  pcall(function() for key in pairs(t) do t[key .. "x"] = 1 t[key] = nil end end)
  pcall(next, t, "no such key")
  pcall(next, {}, 1)
  for _, name in ipairs { "insert", "remove", "concat", "unpack", "pack", "sort", "move", "create", "maxn", "foreach" } do
    local f = table[name] or print
    for _, a in ipairs { 0, -1, 1e308, 0 / 0, 2 ^ 31, "x", {}, print } do
      pcall(f, {}, a)
      pcall(f, { 1, 2, 3 }, a, a)
      pcall(f, a, a)
      if name ~= "move" then pcall(f, { 1, 2, 3 }, 1, a) end
    end
  end
  pcall(table.sort, { 1, "x", {}, print })
  pcall(table.sort, { 5, 3, 9, 1, 7, 2, 8 }, function() return true end)
  local big = {}
  for index = 1, 5000 do big[index] = index % 7 end
  pcall(table.sort, big, function() return true end)
  pcall(table.sort, big, function(a, b) table.remove(big) return a < b end)
  con:puts("alive")
end
