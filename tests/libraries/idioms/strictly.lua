-- Undeclared globals are errors: who asks is told by debug.getinfo, as strict.lua of the
-- distribution does it.
local M = {}
local function what()
  local info = debug.getinfo(3, "S")
  return info and info.what or "C"
end
function M.guard(tab)
  local declared = {}
  return setmetatable(tab, {
    __newindex = function(t, name, value)
      if not declared[name] then
        local by = what()
        if by ~= "main" and by ~= "C" then error("assign to undeclared variable '" .. name .. "'", 2) end
        declared[name] = true
      end
      rawset(t, name, value)
    end,
    __index = function(_, name)
      if not declared[name] and what() ~= "C" then error("variable '" .. name .. "' is not declared", 2) end
      return nil
    end,
  })
end
function M.where(level)
  local info = debug.getinfo((level or 1) + 1, "Sl")
  return info.short_src:match("[^/]*$"), info.currentline
end
function M.parameters(f)
  local info = debug.getinfo(f, "u")
  return info and info.nparams, info and info.isvararg
end
-- The value of an upvalue by its name.
function M.upvalue(f, wanted)
  for index = 1, math.huge do
    local name, value = debug.getupvalue(f, index)
    if not name then return nil end
    if name == wanted then return value, index end
  end
end
return M
