-- What stock Lua takes from POSIX and lupa builds PUC Lua without: how programs ended that
-- `os.execute` ran, and files for `os.tmpname`. In trusted pools.
local T = ...
local native, os = T.native, T.environment.os
local error, type, floor = native.error, native.type, T.library.math.floor
local compute, REFUSED, OP, execute = T.compute, T.REFUSED, T.OP, T.library.os.execute

function os.tmpname()
  local path = compute(OP.TMPNAME, 0)
  if path == REFUSED then T.refuse("tmpname") end
  if path == "" then error("unable to generate a unique filename", 2) end
  return path
end

if T.is51 then return os end  -- `execute` gives there what system(3) does

function os.execute(command)
  if command == nil then return (execute()) end  -- whether there is a shell
  if type(command) ~= "string" and type(command) ~= "number" then
    T.expected(1, "os.execute", "string", command)
  end
  local ok, how, code = execute(command)
  if ok or how ~= "exit" then return ok, how, code end
  local signal = code % 128  -- of a status as wait(2) gives it
  if signal > 0 then return nil, "signal", signal end
  return nil, "exit", floor(code / 256)
end

return os
