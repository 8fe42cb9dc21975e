-- attack: callbacks from C within callbacks until the C stack ends
-- expect: 200 alive
function main(env, con)
  local function by_gsub() return ("x"):gsub(".", by_gsub) end
  pcall(by_gsub)
  local index = {}
  setmetatable(index, { __index = function(_, key) return ("x"):gsub(".", index) end })
  pcall(string.gsub, "x", ".", index)
  local function by_sort() table.sort({ 1, 2 }, by_sort) end
  pcall(by_sort)
  local meta = {}
  meta.__lt = function() table.sort { setmetatable({}, meta), setmetatable({}, meta) } return false end
  pcall(table.sort, { setmetatable({}, meta), setmetatable({}, meta) })
  local object = setmetatable({}, { __tostring = function(self) return tostring(self) end })
  pcall(tostring, object)
  pcall(string.format, "%s", object)
  pcall(print, object)
  local function by_load() return (load or loadstring)(by_load) end
  pcall(by_load)
  local function by_foreach() if table.foreach then table.foreach({ 1 }, by_foreach) end end
  pcall(by_foreach)
  local deep = setmetatable({}, {})
  getmetatable(deep).__concat = function(a, b) return a .. b end
  pcall(function() return deep .. "x" end)
  con:puts("alive")
end
