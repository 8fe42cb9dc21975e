-- Code loading: text only, always into the environment of the state's script.
--
-- Provides: chunk_names, compile_file, path_argument, no_file, is_absent, called.
local T = ...
local native, env = T.native, T.environment
local error, pcall = native.error, T.pcall
local rawequal, type = native.rawequal, native.type
local native_load, loadstring = native.load, native.loadstring
local getfenv, setfenv = native.getfenv, native.setfenv
local byte, find, sub = T.library.string.byte, T.library.string.find, T.library.string.sub
local concat, getinfo = T.library.table.concat, T.library.debug.getinfo
local operate, refuse, REFUSED, OP = T.operate, T.refuse, T.REFUSED, T.OP
local look_for_raw = T.look_for_raw
local trusted, is51, puc51 = T.config.trusted, T.is51, T.puc51

local MAX_SOURCE = 8 * 1024 * 1024  -- bytes of text that one `load` compiles
local MAX_NAME = 1024               -- bytes of a module name or path
local BINARY = 27                   -- first byte of precompiled code

-- Lua cuts chunk names in messages; `names` finds the whole one of a file again.
local names = {}
T.chunk_names = names
local function remember(f, name)  -- returns the name as Lua cuts it
  local short = getinfo(f, "S").short_src
  if names[short] == nil then names[short] = name
  elseif names[short] ~= name then names[short] = false end
  return short
end

-- Compile text; nil and a message when it does not compile. where: its environment.
local function compile(source, name, where)
  if byte(source, 1) == BINARY then return nil, "attempt to load a binary chunk" end
  if #source > MAX_SOURCE then return nil, "chunk too large" end
  local f, message
  if puc51 then
    f, message = loadstring(source, name)
    if f then setfenv(f, where) end
  else
    f, message = native_load(source, name, "t", where)
  end
  if f then look_for_raw(source) end
  T.tick()
  return f, message
end

-- Compile a file that the host gave, named `@` and its path as in stock Lua: a first line
-- `#!...` and a byte order mark are no Lua.
local function compile_file(source, name, where)
  if sub(source, 1, 3) == "\239\187\191" then source = sub(source, 4) end
  if byte(source, 1) == 35 then source = "--" .. source end
  local f, message = compile(source, "@" .. name, where or env)
  if f then
    remember(f, name)
    return f
  end
  local short = remember((loadstring or native_load)("", "@" .. name), name)
  if sub(message, 1, #short) == short then message = name .. sub(message, #short + 1) end
  return nil, message
end
T.compile_file = compile_file

local function gather(reader)
  local pieces, count, size = {}, 0, 0
  while true do
    local piece = reader()
    if piece == nil or piece == "" then return concat(pieces, "", 1, count) end
    if type(piece) ~= "string" then return nil, "reader function must return a string" end
    count, size = count + 1, size + #piece
    if size > MAX_SOURCE then return nil, "chunk too large" end
    pieces[count] = piece
  end
end

local function load(...)
  local chunk, name, mode = ...
  local is_absent, has_env = native.select("#", ...) == 0, native.select("#", ...) > 3
  if type(chunk) == "number" then chunk = native.tostring(chunk) end
  if type(name) == "number" then name = native.tostring(name) end
  if type(chunk) == "function" then
    local ok, text, message = pcall(gather, chunk)
    if not ok then return nil, text end
    if not text then
      local at = getinfo(2, "Sl")
      if at and at.currentline > 0 and find(message, "^reader") then message = at.short_src .. ":" .. at.currentline .. ": " .. message end
      return nil, message
    end
    chunk = text
    name = name or "=(load)"
  elseif type(chunk) ~= "string" then
    T.expected(1, "load", "function", chunk, is_absent)
  end
  if name ~= nil and type(name) ~= "string" then
    T.expected(2, "load", "string", name)
  end
  if mode ~= nil and not (type(mode) == "string" and find(mode, "t", 1, true)) then
    if is51 then return nil, "attempt to load chunk with wrong mode" end
    return nil, "attempt to load a text chunk (mode is '" .. T.tostring(mode) .. "')"
  end
  local where = env
  if has_env then where = native.select(4, ...) end
  if is51 and type(where) ~= "table" then where = env end
  local f, text = compile(chunk, name or chunk, where)
  if f then return f end
  return nil, text
end

-- above: functions of ours between the one that was called and the script.
function T.path_argument(path, name, above)
  above = above or 0
  if type(path) ~= "string" then T.expected(1, name, "string", path, path == nil, 1 + above) end
  if #path > MAX_NAME or find(path, T.NUL) then
    error("bad argument #1 to '" .. name .. "' (not a path)", 3 + above)
  end
end

local path_argument = T.path_argument

-- The message for a file that is not there; why: the host's reasons.
function T.no_file(path, why) return "file '" .. path .. "' not found:\n\t" .. why end

-- Whether the host's reason means that there is no such file, and not that it is of no use.
function T.is_absent(why) return find(why, "^no ") and not find(why, "leads outside", 1, true) end

-- Whether a trusted script means a file that is none of the host's.
local function is_elsewhere(why)
  return trusted and (T.is_absent(why) or find(why, "^not a name inside") ~= nil)
end

-- The same as Lua tells it of a chunk.
local function not_opened(path, why)
  return "cannot open " .. path .. ": " .. (T.is_absent(why) and "No such file or directory" or why)
end

local function loadfile(path, mode, ...)
  path_argument(path, "loadfile")
  local found, source, name = operate(OP.CHUNK, path)
  if found == REFUSED then refuse("loadfile") end
  if not found then
    if is_elsewhere(source) then return native.loadfile(path, mode, ...) end
    return nil, not_opened(path, source)
  end
  return compile_file(source, name, (...))
end

local function dofile(path)
  path_argument(path, "dofile")
  local found, source, name = operate(OP.CHUNK, path)
  if found == REFUSED then refuse("dofile") end
  local f, message
  if found then f, message = compile_file(source, name)
  elseif is_elsewhere(source) then f, message = native.loadfile(path)
  else error(not_opened(path, source), 0) end
  if not f then error(message, 0) end
  return f()
end

env.dofile, env.loadfile = dofile, loadfile
if trusted then
  if T.version == 5.2 then env.loadstring = native_load end  -- as distributions build it
  return
end

env.load = load
if T.version > 5.2 then return end

function env.loadstring(source, name)
  if type(source) == "number" then source = native.tostring(source) end
  if type(source) ~= "string" then
    T.expected(1, "loadstring", "string", source, source == nil and name == nil)
  end
  return load(source, name)
end

if not is51 then return end

-- ---- Lua 5.1: environments of functions, module ---------------------------------------

-- The environment of our own and of C functions is the real global table: scripts are
-- told it were theirs, and cannot change it.
local globals = T.real

local function called(f, name)  -- the function that a function or level argument means
  if f == nil then f = 1 end
  if type(f) == "function" then return f end
  local info = type(f) == "number" and f >= 1 and f < 200 and getinfo(f + 2, "f")
  if not info then error("bad argument #1 to '" .. name .. "' (invalid level)", 3) end
  return info.func
end
T.called = called

function env.getfenv(f)
  if f == 0 then return env end
  local found = getfenv(called(f, "getfenv"))
  return rawequal(found, globals) and env or found
end

function env.setfenv(f, where)
  if type(where) ~= "table" then
    error("bad argument #2 to 'setfenv' (table expected, got " .. type(where) .. ")", 2)
  end
  local func = f ~= 0 and called(f, "setfenv")
  if not func or rawequal(getfenv(func), globals) then
    error("'setfenv' cannot change environment of given object", 2)
  end
  setfenv(func, where)
  return func
end
