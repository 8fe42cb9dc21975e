-- The standard streams of trusted scripts: what is written to them are lines of the log, as in
-- sandboxed pools. They are Lua's own files in all else, and so are all others. What a program
-- writes that a script has started goes where the process's own streams go.
local T = ...
local native, real, io = T.native, T.library.io, T.environment.io
local error, pcall, select = native.error, native.pcall, native.select
local tonumber, type = native.tonumber, native.type
local match, pass, log_text = T.library.string.match, T.pass, T.late("streams")
local argument, expected, is51 = T.argument, T.expected, T.is51

local methods = native.getmetatable(real.stdout).__index
local write_file, write_default, default = methods.write, real.write, real.output
local levels = { [real.stdout] = "i", [real.stderr] = "w" }  -- of the log

-- What Lua's own function said; its errors as of the function that calls this one.
local function passed(name, ok, ...)
  if ok then return ... end
  local message = ...
  local index, why = match(message, "^bad argument #(%d+) to '[^']*' %((.*)%)$")
  if index then argument(tonumber(index), name, why, 1) end
  error(message, 3)
end

-- first: of the arguments that are written.
local function say(level, name, first, ...)
  local pieces = { ... }
  for index = first, select("#", ...) do
    local piece = pieces[index]
    if type(piece) ~= "string" and type(piece) ~= "number" then
      expected(index, name, "string", piece, false, 1)
    end
    log_text(level, piece)
  end
end

function methods.write(...)
  local file = ...
  local level = levels[file]
  if not level then return pass(passed("?", pcall(write_file, ...))) end
  say(level, "?", 2, ...)
  if is51 then return true end
  return file
end

function io.write(...)
  local ok, file = pcall(default)  -- an error if it is closed, in some versions
  local level = ok and levels[file]
  if not level then return pass(passed("io.write", pcall(write_default, ...))) end
  say(level, "io.write", 1, ...)
  if is51 then return true end
  return file
end

return io
