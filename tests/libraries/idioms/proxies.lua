-- Objects that are used as if they were tables of the language: lists by metamethods, weak caches,
-- defaults, sets with operators, and userdata where the version makes them.
local M = {}

local set = {}
set.__index = set
function M.set(list)
  local made = setmetatable({}, set)
  for _, item in ipairs(list) do made[item] = true end
  return made
end
set.__add = function(a, b)
  local made = setmetatable({}, set)
  for key in pairs(a) do made[key] = true end
  for key in pairs(b) do made[key] = true end
  return made
end
set.__mul = function(a, b)
  local made = setmetatable({}, set)
  for key in pairs(a) do if b[key] then made[key] = true end end
  return made
end
set.__le = function(a, b) for key in pairs(a) do if not b[key] then return false end end return true end
set.__lt = function(a, b) return a <= b and not (b <= a) end
set.__eq = function(a, b) return a <= b and b <= a end
set.__concat = function(a, b) return tostring(a) .. tostring(b) end
set.__tostring = function(a)
  local items = {}
  for key in pairs(a) do items[#items + 1] = tostring(key) end
  table.sort(items)
  return "{" .. table.concat(items, ", ") .. "}"
end

function M.defaults(make)
  return setmetatable({}, { __index = function(self, key)
    local value = make(key)
    self[key] = value
    return value
  end })
end

function M.memoize(f)
  local cache = setmetatable({}, { __mode = "kv" })
  return function(key)
    local value = cache[key]
    if value == nil then value = f(key) cache[key] = value end
    return value
  end
end

-- A unique value that is no table, as several libraries make it.
M.unique = newproxy and newproxy(true) or setmetatable({}, {})
if newproxy then
  getmetatable(M.unique).__tostring = function() return "unique" end
  getmetatable(M.unique).__index = function(_, key) return key end
  getmetatable(M.unique).__call = function(_, a) return a end
else
  getmetatable(M.unique).__tostring = function() return "unique" end
  getmetatable(M.unique).__index = function(_, key) return key end
  getmetatable(M.unique).__call = function(_, a) return a end
end

-- Words and methods added to strings, as text libraries do.
function M.extend_strings()
  function string:trim() return (self:gsub("^%s+", ""):gsub("%s+$", "")) end
  function string.starts(s, with) return s:sub(1, #with) == with end
  getmetatable("").__mod = function(form, values)
    if type(values) == "table" then return form:format((table.unpack or unpack)(values)) end
    return form:format(values)
  end
end
return M
