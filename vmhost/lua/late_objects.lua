-- `debug` of sandboxed scripts on objects: their metatables, environments and user values; and
-- hooks, which never run. What is denied stands in late_debug.lua.
--
-- Stubs (late.lua) call these functions: levels count them.
local T = ...
local native, D, env, version = T.native, T.library.debug, T.environment, T.version
local error, getmetatable, rawequal, type = native.error, native.getmetatable, native.rawequal, native.type
local change_metatable = T.change_metatable

local library = {}

local function bad(index, name, message)  -- an error of the function that calls this one
  T.argument(index, "debug." .. name, message, 2)
end

function library.getmetatable(value) return getmetatable(value) end

function library.setmetatable(value, meta)
  if meta ~= nil and type(meta) ~= "table" then
    if version < 5.4 then T.argument(2, "debug.setmetatable", "nil or table expected", 1) end
    T.expected(2, "debug.setmetatable", "nil or table", meta, false, 1)
  end
  if type(value) == "table" then
    change_metatable(value, meta)
  elseif type(value) == "string" then
    D.setmetatable(value, meta)
  else
    error("debug.setmetatable: the metatable of every " .. type(value)
      .. " cannot be set in a sandboxed pool", 3)
  end
  if T.is51 then return true end
  return value
end

function library.getregistry()
  error("debug.getregistry: there is no registry in a sandboxed pool", 3)
end

if T.is51 then
  local getfenv, setfenv = native.getfenv, native.setfenv

  -- Our own and C functions have the real global table, which scripts are told is theirs.
  function library.getfenv(value)
    if type(value) ~= "function" then return nil end
    local found = getfenv(value)
    return rawequal(found, T.real) and env or found
  end

  function library.setfenv(value, where)
    if type(where) ~= "table" then bad(2, "setfenv", "table expected, got " .. type(where)) end
    if type(value) ~= "function" or rawequal(getfenv(value), T.real) then
      error("'setfenv' cannot change environment of given object", 3)
    end
    return setfenv(value, where)
  end
end

-- ---- what does nothing -------------------------------------------------------------------

function library.sethook() end

function library.gethook()
  if version >= 5.4 then return nil end
  return nil, "", 0
end

function library.debug() end  -- as at the end of standard input

if D.getuservalue then
  function library.getuservalue() return nil end
  function library.setuservalue(value)
    bad(1, "setuservalue", "userdata expected, got " .. (value == nil and "no value" or type(value)))
  end
end
if D.setcstacklimit then
  function library.setcstacklimit() return 200 end  -- as Lua itself, where it does nothing
end

return library
