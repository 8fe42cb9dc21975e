-- `os` of sandboxed scripts but for time, which is in numbers.lua: what would change files or
-- start programs fails as it does where that is forbidden, and `exit` ends the request. In
-- trusted pools `exit` alone: there it would end the VM host.
local T = ...
local error, type, tostring = T.native.error, T.native.type, T.native.tostring
local trusted = T.config.trusted
local os = trusted and T.environment.os or T.os

-- End the request with what was put, as at the end of the handler.
function os.exit()
  if not T.is_active() then error("'exit' called while no request is running", 2) end
  T.leave()
end

if trusted then return end

os.setlocale = T.setlocale

local READ_ONLY, DENIED = "Read-only file system", "Operation not permitted"

local function text(value, index, name)
  if type(value) == "number" then return tostring(value) end
  if type(value) == "string" then return value end
  error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got "
    .. (value == nil and "no value" or type(value)) .. ")", 3)
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
