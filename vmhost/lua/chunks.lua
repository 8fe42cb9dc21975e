-- Code loading: text only, always into the environment of the state's script, and `require`
-- with the farm's searchers: package.loaded, package.preload, built in, the host's.
--
-- Provides: chunk_names, compile_file, no_file.
local T = ...
local native, env = T.native, T.environment
local error, getmetatable, ipairs, pcall = native.error, native.getmetatable, native.ipairs, T.pcall
local rawequal, rawget, rawset, type = native.rawequal, native.rawget, native.rawset, native.type
local native_load, loadstring = native.load, native.loadstring
local getfenv, setfenv = native.getfenv, native.setfenv
local byte, find, gmatch, gsub, match, sub = T.library.string.byte, T.library.string.find,
  T.library.string.gmatch, T.library.string.gsub, T.library.string.match, T.library.string.sub
local concat, getinfo = T.library.table.concat, T.library.debug.getinfo
local operate, refuse, REFUSED, OP = T.operate, T.refuse, T.REFUSED, T.OP
local look_for_raw, whole = T.look_for_raw, T.whole
local trusted, is51, puc51 = T.config.trusted, T.is51, T.puc51

local MAX_SOURCE = 8 * 1024 * 1024  -- bytes of text that one `load` compiles
local MAX_NAME = 1024               -- bytes of a module name or path
local BINARY = 27                   -- first byte of precompiled code

-- Lua cuts chunk names in messages; `names` finds the whole one again.
local names = {}
T.chunk_names = names
local function remember(f, name)
  local short = getinfo(f, "S").short_src
  if names[short] == nil then names[short] = name
  elseif names[short] ~= name then names[short] = false end
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

-- Compile a file that the host gave: a first line `#!...` and a byte order mark are no Lua.
local function compile_file(source, name, where)
  if sub(source, 1, 3) == "\239\187\191" then source = sub(source, 4) end
  if byte(source, 1) == 35 then source = "--" .. source end
  local f, message = compile(source, name, where or env)
  if f then
    remember(f, name)
    return f
  end
  return nil, (gsub(message, "^%[string \"[^\n]-\"%]", function()
    return "[string \"" .. name .. "\"]"
  end))
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

local function load(chunk, name, mode, ...)
  if type(chunk) == "function" then
    local message
    chunk, message = gather(chunk)
    if not chunk then return nil, message end
    name = name or "=(load)"
  elseif type(chunk) ~= "string" then
    error("bad argument #1 to 'load' (string or function expected)", 2)
  end
  if name ~= nil and type(name) ~= "string" then
    error("bad argument #2 to 'load' (string expected)", 2)
  end
  if mode ~= nil and not (type(mode) == "string" and find(mode, "t", 1, true)) then
    return nil, "attempt to load a text chunk (mode is '" .. T.tostring(mode) .. "')"
  end
  local where = env
  if native.select("#", ...) > 0 then where = (...) end
  if is51 and type(where) ~= "table" then where = env end
  return compile(chunk, name or chunk, where)
end

local function path_argument(path, name)
  if type(path) ~= "string" then
    error("bad argument #1 to '" .. name .. "' (string expected, got " .. type(path) .. ")", 3)
  end
  if #path > MAX_NAME or find(path, T.NUL) then
    error("bad argument #1 to '" .. name .. "' (not a path)", 3)
  end
end

-- The message for a file that is not there; why: the host's reasons.
local function no_file(path, why) return "file '" .. path .. "' not found:\n\t" .. why end
T.no_file = no_file

local function loadfile(path, mode, ...)
  path_argument(path, "loadfile")
  local found, source, name = operate(OP.CHUNK, path)
  if found == REFUSED then refuse("loadfile") end
  if not found then return nil, no_file(path, source) end
  return compile_file(source, name, (...))
end

local function dofile(path)
  path_argument(path, "dofile")
  local found, source, name = operate(OP.CHUNK, path)
  if found == REFUSED then refuse("dofile") end
  if not found then error(no_file(path, source), 2) end
  local f, message = compile_file(source, name)
  if not f then error(message, 0) end
  return f()
end

-- ---- require ------------------------------------------------------------------------

local loaded, preload
local searchers = {}  -- of a trusted pool: files and C modules
if trusted then
  local package = native.package
  loaded, preload, searchers = package.loaded, package.preload, package.searchers or package.loaders
  -- Lua's own defaults begin where the farm was started, which is nobody's library
  local function absolute(templates)
    local kept, count = {}, 0
    for template in gmatch(templates, "[^;]+") do
      if find(template, "/", 1, true) == 1 then count = count + 1 kept[count] = template end
    end
    return concat(kept, ";", 1, count)
  end
  package.path = absolute(package.path)
  package.cpath = T.config.cpath ~= "" and T.config.cpath or absolute(package.cpath)
else
  loaded, preload = {}, {}
  env.package = { loaded = loaded, preload = preload, path = "", cpath = "", config = "/\n;\n?\n!\n-\n" }
  loaded._G = env
  loaded.package = env.package
  for _, name in ipairs { "bit", "bit32", "coroutine", "math", "os", "string", "table", "utf8" } do
    loaded[name] = env[name]
  end
end

local builtin = {}  -- names that the host answers with our own code, until asked for
for name in gmatch(T.config.builtins, "%S+") do builtin[name] = true end

local function from_host(name)  -- a built-in module
  local code = operate(OP.BUILTIN, name)
  if code == REFUSED then refuse("require") end
  local members = (loadstring or native_load)(code, "=luafarm")(T)
  local module = T.seal(members, name)
  if is51 and rawget(env, name) == nil then rawset(env, name, module) end
  return module
end

local loading = {}  -- modules whose code runs, or failed, in the request of that number

local function run_loader(name, loader, extra)
  loading[name] = T.info.requests
  local value = loader(name, extra)
  loading[name] = nil
  if value ~= nil then loaded[name] = value
  elseif loaded[name] == nil then loaded[name] = true end
  if T.version >= 5.4 then return loaded[name], extra end
  return loaded[name]
end

local function require(name)
  if type(name) == "number" then name = native.tostring(name) end
  path_argument(name, "require")
  local value = loaded[name]
  if value then return value end
  if loading[name] == T.info.requests then error("loop or previous error loading module '" .. name .. "'", 2) end
  local loader = preload[name]
  if loader ~= nil then
    local extra
    value, extra = run_loader(name, loader, ":preload:")
    return value, extra
  end
  if builtin[name] then
    value = from_host(name)
    loaded[name] = value
    return value
  end
  local found, source, chunk = operate(OP.REQUIRE, name)
  if found == REFUSED then refuse("require") end
  if found then
    local f, message = compile_file(source, chunk)
    if not f then
      error("error loading module '" .. name .. "' from file '" .. chunk .. "':\n\t" .. message, 2)
    end
    value, chunk = run_loader(name, f, chunk)
    return value, chunk
  end
  local message = "module '" .. name .. "' not found:\n\tno field package.preload['" .. name
    .. "']\n\t" .. source
  -- Called from here and not by Lua's own `require`, so that these modules may yield.
  for index = 2, #searchers do
    local extra
    loader, extra = searchers[index](name)
    if type(loader) == "function" then
      value, extra = run_loader(name, loader, extra)
      return value, extra
    end
    message = message .. (type(loader) == "string" and loader or "")
  end
  error(message, 2)
end

env.require, env.dofile, env.loadfile = require, dofile, loadfile
if trusted then return end

env.load = load
if not is51 then return end

-- ---- Lua 5.1: loadstring, environments of functions, module ---------------------------

function env.loadstring(source, name)
  if type(source) ~= "string" then
    error("bad argument #1 to 'loadstring' (string expected)", 2)
  end
  return load(source, name)
end

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

local function place(root, path)  -- the table a.b.c in root, made where missing
  local at = root
  for part in gmatch(path, "[^.]+") do
    local inner = rawget(at, part)
    if inner == nil then
      inner = {}
      rawset(at, part, inner)
    elseif type(inner) ~= "table" or T.sealed[inner] then
      return nil
    end
    at = whole(inner)
  end
  return at
end

function env.module(name, ...)
  path_argument(name, "module")
  local module = loaded[name]
  if type(module) ~= "table" then
    module = place(env, name)
    if not module then error("name conflict for module '" .. name .. "'", 2) end
    loaded[name] = module
  end
  if rawget(whole(module), "_NAME") == nil then
    module._M, module._NAME = module, name
    module._PACKAGE = match(name, "^(.-)[^.]*$")
  end
  local caller = called(1, "module")
  if rawequal(getfenv(caller), globals) then error("'module' not called from a Lua function", 2) end
  setfenv(caller, module)
  for index = 1, native.select("#", ...) do
    local option = native.select(index, ...)
    option(module)
  end
end

function env.package.seeall(module)
  if type(module) ~= "table" then error("bad argument #1 to 'seeall' (table expected)", 2) end
  local meta = getmetatable(whole(module))
  if meta == nil then
    meta = {}
    native.setmetatable(module, meta)
  end
  if type(meta) == "table" then meta.__index = env end
end
