-- `io` of sandboxed scripts as far as every state has it: the standard streams, and names
-- whose functions module_io.lua has. A state loads that when a text that it compiles speaks
-- of `io`, at the latest when one is called.
--
-- Provides: files, file_meta, load_io.
local T = ...
local native, IO, format = T.native, T.library.io, T.library.string.format
local error, ipairs, rawequal, setmetatable = native.error, native.ipairs, native.rawequal,
  native.setmetatable
local set_real = T.library.debug.setmetatable
local operate, REFUSED, OP = T.operate, T.REFUSED, T.OP

-- By handle: { kind = "out", level = of the log } or "in" or "file" with `text` and `at`, how
-- many bytes of it are read; is_closed; is_standard; number, for its address.
local files = setmetatable({}, { __mode = "k" })
T.files = files
T.file_meta = { __metatable = false }
local io, stubs, loaded = {}, {}, T.config.trusted

-- Load the rest, if the host can be asked here; whether it is there now.
function T.load_io()
  if loaded then return true end
  local code = operate(OP.BUILTIN, "io")
  if code == REFUSED then return false end
  loaded = true
  for name, f in native.next, (native.loadstring or native.load)(code, "=luafarm")(T) do
    if rawequal(io[name], stubs[name]) then io[name] = f end
    stubs[name] = f
  end
  return true
end

if loaded then return end

for _, name in ipairs { "close", "flush", "input", "lines", "open", "output", "popen", "read",
  "tmpfile", "type", "write" } do
  local function stub(...)
    if not T.load_io() then T.refuse("io." .. name) end
    return stubs[name](...)
  end
  io[name], stubs[name] = stub, stub
end

local meta = T.file_meta
function meta.__index(value, key)
  if T.load_io() then return meta.__index[key] end
  T.refuse("io")
end
function meta.__tostring(value)
  local file = files[value]
  if not file then error("bad argument #1 to 'tostring' (FILE* expected)", 2) end
  if file.is_closed then return "file (closed)" end
  return format("file (0x5581%08x)", file.number * 480)  -- tells no address
end
if not T.is51 then meta.__name = "FILE*" end

-- The streams that Lua has made: userdata, as in stock Lua, of which nothing else is used.
for number, name in ipairs { "stdin", "stdout", "stderr" } do
  local handle = IO[name]
  set_real(handle, meta)
  files[handle] = { kind = number == 1 and "in" or "out", level = number == 2 and "i" or "w",
    is_standard = true, number = number }
  io[name] = handle
end
T.environment.io = io
