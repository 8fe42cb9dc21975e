-- What of `os` would change files, start programs or the process, in sandboxed scripts: it fails as
-- it does where that is forbidden. Stubs (late.lua) call these functions: levels count them.
local T = ...
local error, type, tostring = T.native.error, T.native.type, T.native.tostring

local os = {}
local READ_ONLY, DENIED = "Read-only file system", "Operation not permitted"

local function text(value, index, name)
  if type(value) == "number" then return tostring(value) end
  if type(value) == "string" then return value end
  error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got "
    .. (value == nil and "no value" or type(value)) .. ")", 4)
end

function os.remove(path) return nil, text(path, 1, "remove") .. ": " .. READ_ONLY, 30 end

function os.rename(from, to)
  from = text(from, 1, "rename")
  text(to, 2, "rename")
  return nil, T.is51 and from .. ": " .. READ_ONLY or READ_ONLY, 30
end

function os.tmpname() return nil, READ_ONLY, 30 end

-- Without a command it says whether there is a shell.
function os.execute(command)
  if command == nil then return T.is51 and 0 or false end
  return nil, text(command, 1, "execute") .. ": " .. DENIED, 1
end

function os.getenv(name)
  text(name, 1, "getenv")
  return nil
end

local CATEGORIES = { all = 1, collate = 1, ctype = 1, monetary = 1, numeric = 1, time = 1 }

-- os.setlocale: the locale is the whole process's, and stays "C".
function os.setlocale(locale, category)
  if locale ~= nil and type(locale) ~= "string" and type(locale) ~= "number" then
    T.expected(1, "os.setlocale", "string", locale, false, 1)
  end
  if category ~= nil and type(category) ~= "string" then
    T.expected(2, "os.setlocale", "string", category, false, 1)
  end
  if category and not CATEGORIES[category] then
    T.argument(2, "os.setlocale", "invalid option '" .. category .. "'", 1)
  end
  if locale == nil or locale == "" or locale == "C" or locale == "POSIX" then return "C" end
  return nil
end

return os
