-- What a script finds around itself, as one line of text: the names and kinds of all that
-- can be reached from the globals by names.
local function list(t, path, seen, out)
  if seen[t] then return end
  seen[t] = true
  local names = {}
  for key in pairs(t) do
    if type(key) == "string" then names[#names + 1] = key end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = t[name]
    out[#out + 1] = path .. name .. ":" .. type(value)
    if type(value) == "table" then list(value, path .. name .. ".", seen, out) end
  end
end

return function(globals)
  local out = {}
  list(globals, "", {}, out)
  list(getmetatable(""), "string's metatable.", {}, out)
  return table.concat(out, " ")
end
