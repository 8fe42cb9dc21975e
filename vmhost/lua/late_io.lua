-- `io` of sandboxed scripts: the standard streams, and files below the script roots to read.
--
-- What a script writes to the standard streams are lines of its log, as those of `print`.
-- Its standard input is empty. A handle is a userdata as in stock Lua; what it stands for is
-- known in `files`. The functions of `io` are called by stubs (late.lua), methods are not.
local T = ...
local native, IO, files, meta = T.native, T.library.io, T.files, T.file_meta
local error, select = native.error, native.select
local tonumber, tostring, type = native.tonumber, native.tostring, native.type
local unpack = T.library.table.unpack
local find, match, sub = T.library.string.find, T.library.string.match, T.library.string.sub
local floor, min = T.library.math.floor, T.library.math.min
local set_real, getupvalue = T.library.debug.setmetatable, T.library.debug.getupvalue
local operate, refuse, REFUSED, OP = T.operate, T.refuse, T.REFUSED, T.OP
local is51, log_text = T.is51, T.late("streams")

local MAX_PATH = 4096
local READ_ONLY, DENIED = "Read-only file system", "Operation not permitted"

local methods, numbers = {}, 3  -- files so far

-- ---- handles --------------------------------------------------------------------------

local function new_userdata()
  if native.newproxy then return native.newproxy() end
  -- the state of an iterator that nobody has, from Lua 5.3 on; in Lua 5.2 what a failure to
  -- open leaves on the stack
  local _, found = getupvalue(T.library.string.gmatch("", ""), 3)
  if type(found) == "userdata" then return found end
  native.xpcall(IO.lines, function()
    for index = 1, 20 do
      local _, value = T.library.debug.getlocal(2, index)
      if type(value) == "userdata" then found = value end
    end
  end, "")
  if not found then error("not enough memory", 0) end
  return found
end

local function handle(file)
  local made = new_userdata()
  set_real(made, meta)
  numbers = numbers + 1
  file.number = numbers
  files[made] = file
  return made
end

local function got(value, given) return given == 0 and "no value" or type(value) end

-- The file of an open handle. level: of the script, as seen from here.
local function opened(value, name, level)
  local file = files[value]
  if not file then
    error("bad argument #1 to '" .. name .. "' (FILE* expected, got " .. type(value) .. ")", level)
  end
  if file.is_closed then error("attempt to use a closed file", level) end
  return file
end

-- ---- writing --------------------------------------------------------------------------

local function write(value, file, level, ...)
  for index = 1, select("#", ...) do
    local piece = select(index, ...)
    if type(piece) ~= "string" and type(piece) ~= "number" then
      error("bad argument #" .. index .. " to 'write' (string expected, got " .. type(piece)
        .. ")", level)
    end
    if file.kind ~= "out" then return nil, "Bad file descriptor", 9 end
    log_text(file.level, piece)
  end
  if is51 then return true end
  return value
end

function methods.write(value, ...)
  local file = opened(value, "write", 3)
  local result, message, number = write(value, file, 3, ...)
  if message then return result, message, number end
  return result
end

function methods.flush(value)
  opened(value, "flush", 3)
  return true
end

function methods.setvbuf(value, mode)
  opened(value, "setvbuf", 3)
  if mode ~= "no" and mode ~= "full" and mode ~= "line" then
    error("bad argument #1 to 'setvbuf' (invalid option '" .. T.tostring(mode) .. "')", 2)
  end
  return true
end

local function close(file)
  if file.is_standard then return nil, "cannot close standard file" end
  file.is_closed, file.text = true, nil
  return true
end

function methods.close(value) return close(opened(value, "close", 3)) end

-- What a handle in a `<close>` variable does at the end of its block.
local function leave(value)
  local file = files[value]
  if file and not file.is_closed then close(file) end
end

-- ---- reading --------------------------------------------------------------------------

local MAX_NUMERAL = 200  -- bytes of a number that is read
local STRICT = T.puc51 or T.version == 5.2  -- a format needs its '*'

local reading = {}

local function line(file, keep)
  local text, at = file.text, file.at
  if at >= #text then return nil end
  local last = find(text, "\n", at + 1, true)
  file.at = last or #text
  return sub(text, at + 1, last and not keep and last - 1 or file.at)
end

local function bytes(file, count)
  local text, at = file.text, file.at
  if at >= #text then return nil end
  file.at = min(at + count, #text)
  return sub(text, at + 1, file.at)
end

-- As Lua 5.3 reads a number: the longest text that may be the beginning of one.
local function number(file)
  local text = file.text
  if file.at >= #text then return nil end
  local _, at = find(text, "^%s*", file.at + 1)
  local first = at + 1
  local numeral = sub(text, first, first + MAX_NUMERAL - 1)
  local start = match(numeral, "^[+-]?0[xX]")
  local digits, mark = "%d*", "[eE]"
  if start then digits, mark = "%x*", "[pP]" else start = match(numeral, "^[+-]?") end
  local last = #start
  local function take(pattern)
    local _, stop = find(numeral, "^" .. pattern, last + 1)
    if stop then last = stop end
    return stop
  end
  take(digits)
  if take("%.") then take(digits) end
  if last > #start and take(mark) then
    take("[+-]")
    take("%d*")
  end
  file.at = min(first + last - 1, #text)
  return tonumber(sub(numeral, 1, last))
end

-- Read by one format. level: of the script, as seen from here.
local function one(file, format, index, level)
  if type(format) == "number" then
    if format == 0 then return file.at < #file.text and "" or nil end
    if not (format >= 1) then
      error("bad argument #" .. index .. " to 'read' (invalid format)", level)
    end
    return bytes(file, floor(format))
  end
  local letter = type(format) == "string" and match(format, STRICT and "^%*(.?)" or "^%*?(.?)")
  if letter == "l" then return line(file, false) end
  if letter == "L" and not T.puc51 then return line(file, true) end
  if letter == "n" then return number(file) end
  if letter == "a" then return bytes(file, #file.text) or "" end
  if type(format) ~= "string" then
    error("bad argument #" .. index .. " to 'read' (string expected, got " .. type(format) .. ")",
      level)
  end
  error("bad argument #" .. index .. " to 'read' (invalid " .. (letter and "format" or "option")
    .. ")", level)
end

-- Read by formats up to the first that fails.
function reading.read(file, level, ...)
  local count = select("#", ...)
  if count == 0 then return line(file, false) end
  if count == 1 then return (one(file, (...), 1, level)) end
  local formats, values = { ... }, {}
  for index = 1, count do
    local value = one(file, formats[index], index, level)
    values[index] = value
    if value == nil then return unpack(values, 1, index) end
  end
  return unpack(values, 1, count)
end

-- What an iterator over a file gives next. is_own: nobody else has the file.
function reading.next_of(file, is_own, formats, count)
  local value
  if not formats then
    value = line(file, false)
  elseif count == 1 then
    value = one(file, formats[1], 1, 3)
  else
    local values = {}
    for index = 1, count do
      values[index] = one(file, formats[index], index, 3)
      if values[index] == nil then
        count = index
        break
      end
    end
    if values[1] ~= nil then return unpack(values, 1, count) end
  end
  if value == nil and is_own then file.is_closed, file.text = true, nil end
  return value
end

-- whence: one that there is, or nil.
function reading.seek(file, whence, offset)
  local by = 0
  if offset ~= nil then
    by = tonumber(offset)
    if not by then
      error("bad argument #2 to 'seek' (number expected, got " .. type(offset) .. ")", 2)
    end
  end
  local base = file.at
  if whence == "set" then base = 0 elseif whence == "end" then base = #file.text end
  local at = floor(base + by)
  if not (at >= 0 and at < 2 ^ 53) then return nil, "Invalid argument", 22 end
  file.at = at
  return at
end

local function read(file, level, ...)
  if file.kind == "out" then return nil, "Bad file descriptor", 9 end
  return reading.read(file, level, ...)
end

function methods.read(value, ...)
  local file = opened(value, "read", 3)
  return read(file, 3, ...)
end

function methods.seek(value, whence, offset)
  local file = opened(value, "seek", 3)
  if whence ~= nil and whence ~= "set" and whence ~= "cur" and whence ~= "end" then
    error("bad argument #1 to 'seek' (invalid option '" .. T.tostring(whence) .. "')", 2)
  end
  if file.kind ~= "file" then return nil, "Illegal seek", 29 end
  return reading.seek(file, whence, offset)
end

local OVER = T.jit and "attempt to use a closed file" or "file is already closed"

local function lines(file, is_own, level, ...)
  local count, formats = select("#", ...), nil
  if count > 250 then error("bad argument #252 to 'lines' (too many arguments)", level) end
  if count > 0 then formats = { ... } end
  return function()
    if file.is_closed then error(OVER, 2) end
    if file.kind == "out" then error("Bad file descriptor", 2) end
    return reading.next_of(file, is_own, formats, count)
  end
end

function methods.lines(value, ...)
  local file = opened(value, "lines", 3)
  return lines(file, false, 2, ...)
end

-- ---- opening --------------------------------------------------------------------------

-- What is wrong with a file that the host does not give, as the C library would say it.
local function fault(path, why)
  if T.is_absent(why) then return path .. ": No such file or directory", 2 end
  local text, number = "Input/output error", 5
  if find(why, "^not a name inside") or find(why, "leads outside", 1, true)
    or find(why, "permission denied", 1, true) then
    text, number = "Permission denied", 13
  elseif find(why, "max_source", 1, true) then
    text, number = "File too large", 27
  end
  return path .. ": " .. text .. " (" .. why .. ")", number
end

local function open(path, mode, level)
  if find(mode, "[wa+]") then return nil, path .. ": " .. READ_ONLY, 30 end
  if #path > MAX_PATH or find(path, T.NUL) then
    return nil, sub(path, 1, MAX_PATH) .. ": No such file or directory", 2
  end
  local found, content = operate(OP.FILE, path)
  if found == REFUSED then refuse("open", level + 1) end
  if not found then return nil, fault(path, content) end
  return handle { kind = "file", text = content, at = 0 }
end

local function path_of(value, name, given)
  if type(value) == "number" then return tostring(value) end
  if type(value) == "string" then return value end
  error("bad argument #1 to '" .. name .. "' (string expected, got " .. got(value, given) .. ")", 4)
end

local io = {}
local input, output = IO.stdin, IO.stdout

function io.open(...)
  local path, mode = ...
  path = path_of(path, "open", select("#", ...))
  if mode == nil then mode = "r" end
  if type(mode) == "number" then mode = tostring(mode) end
  if type(mode) ~= "string" then
    error("bad argument #2 to 'open' (string expected, got " .. type(mode) .. ")", 3)
  end
  if not find(mode, "^[rwa]%+?b*$") then
    if not is51 then error("bad argument #2 to 'open' (invalid mode)", 3) end
    if not find(mode, "^[rwa]") then return nil, path .. ": Invalid argument", 22 end
  end
  local made, message, number = open(path, mode, 4)
  if made then return made end
  return nil, message, number
end

local function must_open(path, mode, name)
  local made, message = open(path, mode, 5)
  if made then return made end
  if is51 then error("bad argument #1 to '" .. name .. "' (" .. message .. ")", 4) end
  error("cannot open file '" .. path .. "' (" .. sub(message, #path + 3) .. ")", 4)
end

function io.lines(path, ...)
  if path == nil then return lines(opened(input, "lines", 4), false, 3, ...) end
  local made = must_open(path_of(path, "lines", 1), "r", "lines")
  local iterator = lines(files[made], true, 4, ...)
  if T.version >= 5.4 then return iterator, nil, nil, made end
  return iterator
end

function io.input(what)
  if what == nil then return input end
  if files[what] then input = what
  else input = must_open(path_of(what, "input", 1), "r", "input") end
  return input
end

function io.output(what)
  if what == nil then return output end
  if files[what] then output = what
  else output = must_open(path_of(what, "output", 1), "w", "output") end
  return output
end

function io.read(...)
  local file = opened(input, "read", 4)
  return read(file, 4, ...)
end

function io.write(...)
  local file = opened(output, "write", 4)
  local result, message, number = write(output, file, 4, ...)
  if message then return result, message, number end
  return result
end

function io.flush()
  opened(output, "flush", 4)
  return true
end

function io.close(...)
  local value = ...
  if select("#", ...) == 0 then value = output end
  return close(opened(value, "close", 4))
end

function io.type(...)
  if select("#", ...) == 0 then error("bad argument #1 to 'type' (value expected)", 3) end
  local value = ...
  local file = files[value]
  return file and (file.is_closed and "closed file" or "file") or nil
end

function io.tmpfile() return nil, READ_ONLY, 30 end

function io.popen(...)
  local command = path_of((...), "popen", select("#", ...))
  return nil, command .. ": " .. DENIED, 1
end

io.methods, io.leave = methods, leave
return io
