-- `io` of sandboxed scripts as far as every state has it: the standard streams, and names whose
-- functions late_io.lua has.
--
-- Provides: files, file_meta.
local T = ...
local IO, format, late = T.library.io, T.library.string.format, T.late
local error, ipairs, setmetatable = T.native.error, T.native.ipairs, T.native.setmetatable
local set_real = T.library.debug.setmetatable

-- By handle: { kind = "out", level = of the log } or "in" or "file" with `text` and `at`, how
-- many bytes of it are read; is_closed; is_standard; number, for its address.
local files = setmetatable({}, { __mode = "k" })
T.files = files
T.file_meta = { __metatable = false }
if T.config.trusted then return end

local io, meta = {}, T.file_meta
T.stubs(io, "io", "close flush input lines open output popen read tmpfile type write")

function meta.__index(_, key) return late("io").methods[key] end
function meta.__tostring(value)
  local file = files[value]
  if not file then error("bad argument #1 to 'tostring' (FILE* expected)", 2) end
  if file.is_closed then return "file (closed)" end
  return format("file (0x5581%08x)", file.number * 480)  -- tells no address
end
if T.version >= 5.4 then
  function meta.__close(value) late("io").leave(value) end
end
if not T.is51 then meta.__name = "FILE*" end

-- The streams that Lua has made: userdata, as in stock Lua, of which nothing else is used.
for number, name in ipairs { "stdin", "stdout", "stderr" } do
  local handle = IO[name]
  set_real(handle, meta)
  files[handle] = { kind = number == 1 and "in" or "out", level = number == 2 and "i" or "w",
    text = "", at = 0, is_standard = true, number = number }
  io[name] = handle
end
T.environment.io = io
