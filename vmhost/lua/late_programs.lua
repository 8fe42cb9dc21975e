-- `io.popen` in trusted pools, on Lua but LuaJIT: lupa builds it without. The host starts the
-- program (vmhost/host/services/programs.py), we open its pipe as a file of Lua's own, whose
-- `close` waits for the program.
local T = ...
local native, io = T.native, T.environment.io
local error, setmetatable, tonumber, type = native.error, native.setmetatable, native.tonumber, native.type
local match, sub = T.library.string.match, T.library.string.sub
local compute, REFUSED, OP, real = T.compute, T.REFUSED, T.OP, T.library.io

local numbers = setmetatable({}, { __mode = "k" })  -- of programs, by file

local function text_of(value, index)
  if type(value) == "number" then return native.tostring(value) end
  if type(value) ~= "string" then
    error("bad argument #" .. index .. " to 'popen' (string expected, got "
      .. (value == nil and "no value" or type(value)) .. ")", 3)
  end
  return value
end

function io.popen(command, mode)
  command = text_of(command, 1)
  mode = mode == nil and "r" or text_of(mode, 2)
  if mode ~= "r" and mode ~= "w" then
    if not T.is51 then error("bad argument #2 to 'popen' (invalid mode)", 2) end
    mode = sub(mode, 1, 1)
    if mode ~= "r" and mode ~= "w" then return nil, command .. ": Invalid argument", 22 end
  end
  local answer = compute(OP.START, mode .. command)
  if answer == REFUSED then T.refuse("popen") end
  local number, rest = match(answer, "^(%d+)\t(.*)$")
  number = tonumber(number)
  if number == 0 then
    local code, why = match(rest, "^(%d+)\t(.*)$")
    return nil, command .. ": " .. why, tonumber(code)
  end
  local file, why, code = real.open(rest, mode)
  if not file then
    compute(OP.WAIT, number)
    return nil, why, code
  end
  numbers[file] = number
  return file
end

-- What `close` returns for a program's file.
local function ended(number)
  local status = compute(OP.WAIT, number)
  if T.is51 or status == REFUSED then return true end
  if status < 0 then return nil, "signal", -status end
  if status > 0 then return nil, "exit", status end
  return true, "exit", 0
end

local methods = native.getmetatable(real.stdout).__index
local close_file = methods.close

function methods.close(file, ...)
  local number = numbers[file]
  if not number then return close_file(file, ...) end
  numbers[file] = nil
  close_file(file)
  return ended(number)
end

local close = real.close

function io.close(...)
  local file = ...
  if file ~= nil and numbers[file] then return methods.close(file) end
  return close(...)
end

return io
