-- attack: walk everything that can be reached and look for a name that should not be there
-- expect: refused
local try = require "try"

local FORBIDDEN = {}
for name in ([[ffi python _LOADED CDEF C cdef native late operate TOKEN
  library sealed budget files methods]]):gmatch("%S+") do
  FORBIDDEN[name] = true
end

function main(env, con)
  local seen, attempts = {}, {}
  local function walk(value, path)
    local kind = type(value)
    if kind == "userdata" and not io.type(value) or kind == "cdata" then
      attempts[path] = function() return true end
    end
    if kind ~= "table" or seen[value] then return end
    seen[value] = true
    for key, inner in pairs(value) do
      local name = path .. "." .. tostring(key)
      if FORBIDDEN[key] then attempts[name] = function() return inner end end
      walk(key, name .. "(key)")
      walk(inner, name)
    end
    local meta = getmetatable(value)
    if meta then walk(meta, path .. "(metatable)") end
  end
  walk(_G, "_G")
  walk(con, "con")
  walk(env, "env")
  walk(getmetatable(""), "string")
  for _, name in ipairs { "luafarm", "luafcgid", "json", "md5", "base64" } do
    walk(require(name), name)
  end
  try(con, attempts)
end
