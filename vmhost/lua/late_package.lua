-- `package` and `require`: the searchers of stock Lua, with the host in place of the file
-- system and of C modules.
--
-- The host finds a module in one question where stock Lua tries template by template: OWN, as
-- a part of `package.path`, stands for all its places. The other templates are tried one by
-- one, as files below the script roots.
--
-- Stubs (late.lua) call what this file returns, the searchers too: levels count them.
local T = ...
local native, env = T.native, T.environment
local error, getmetatable, ipairs = native.error, native.getmetatable, native.ipairs
local rawequal, rawget, rawset, type = native.rawequal, native.rawget, native.rawset, native.type
local find, gmatch, gsub, match, sub = T.library.string.find, T.library.string.gmatch,
  T.library.string.gsub, T.library.string.match, T.library.string.sub
local concat = T.library.table.concat
local getinfo, getlocal = T.library.debug.getinfo, T.library.debug.getlocal
local getupvalue, setupvalue = T.library.debug.getupvalue, T.library.debug.setupvalue
local operate, refuse, REFUSED, OP = T.operate, T.refuse, T.REFUSED, T.OP
local compile_file, path_argument, whole = T.compile_file, T.path_argument, T.whole
local is_absent = T.is_absent
local trusted, is51 = T.config.trusted, T.is51

local OWN = "./?.lua;./?/init.lua"  -- the script's directory, its root, the libraries
local MAX_PATH = 1024               -- bytes of a path that the host is asked for
local SEARCHERS = T.is51 and "loaders" or "searchers"
local JOIN = T.version >= 5.4 and "\n\t" or ""     -- what `require` puts before each reason
local BEGIN = T.version >= 5.4 and "" or "\n\t"    -- and what the searchers do
local DATA = T.version >= 5.4

local package, loaded, preload = T.package, T.modules, T.preload
local functions = {}  -- those that have stubs

if trusted then
  package.path, package.cpath = T.config.path, T.config.cpath
end
local DEFAULT_PATH = package.path

-- A trusted script's directory stands in its path, before those of the system.
function functions.stand_in_path(script)
  local folder = match(script, "^(.*)/")
  if not folder or find(folder, "[?;]") then return end
  package.path = folder .. "/?.lua;" .. folder .. "/?/init.lua;" .. DEFAULT_PATH
  DEFAULT_PATH = package.path
end

-- ---- what is built in -----------------------------------------------------------------

local builtin = {}  -- names that the host answers with our own code, until asked for
for name in gmatch(T.config.builtins, "%S+") do builtin[name] = true end

-- Names that mean our own code wherever a file of that name lies.
local function is_ours(name)
  return name == "luafarm" or name == "luafcgid" or sub(name, 1, 8) == "luafarm."
end

local function from_host(name, level)
  local members = T.late(name)
  if not members then refuse("require", level) end
  local module = T.seal(members, name)
  if is51 and not find(name, ".", 1, true) and rawget(env, name) == nil then
    rawset(env, name, module)
  end
  return module
end

-- ---- searching ------------------------------------------------------------------------

local unsure = {}  -- names of which there may be a file that could not be read

-- Try templates as files below the roots. Found: source, chunk name, the path as tried;
-- otherwise nil, and `tried` is longer.
local function along(file, templates, tried, level)
  for template in gmatch(templates, "[^;]+") do
    local path = gsub(template, "%?", function() return file end)
    local found, source, chunk = false, "no file", nil
    if #path <= MAX_PATH then found, source, chunk = operate(OP.CHUNK, path) end
    if found == REFUSED then refuse("require", level + 1) end
    if found then return source, chunk, path end
    tried[#tried + 1] = is_absent(source) and "no file '" .. path .. "'" or source
  end
  return nil
end

-- The same for the places in which the host looks by itself.
local function by_host(name, tried, level)
  local found, source, chunk = operate(OP.REQUIRE, name)
  if found == REFUSED then refuse("require", level + 1) end
  if found then return source, chunk, chunk end
  tried[#tried + 1] = source
  return nil
end

-- Where OWN stands in a path, as a whole number of templates: first and last byte.
local function own_part(path)
  local first, last = find(";" .. path .. ";", ";" .. OWN .. ";", 1, true)
  if first then return first, last - 2 end
end

-- is_require: the host's places come last if the path does not name them.
local function search(name, file, path, is_require, tried, level)
  local first, last = own_part(path)
  if not first then
    local source, chunk, at = along(file, path, tried, level + 1)
    if not source and is_require then return by_host(name, tried, level) end
    return source, chunk, at
  end
  local source, chunk, at = along(file, sub(path, 1, first - 1), tried, level + 1)
  if not source then source, chunk, at = by_host(name, tried, level + 1) end
  if not source then return along(file, sub(path, last + 1), tried, level) end
  return source, chunk, at
end

-- level: of the script, as seen from here.
local function text_argument(value, index, name, level)
  if type(value) == "number" then return native.tostring(value) end
  if type(value) ~= "string" then
    error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got "
      .. (value == nil and "no value" or type(value)) .. ")", level)
  end
  return value
end

local function searched_path()
  local path = package.path
  if type(path) ~= "string" and type(path) ~= "number" then
    error("'package.path' must be a string", 6)
  end
  return path .. ""
end

local function compiled(name, source, chunk, level)
  local f, message = compile_file(source, chunk)
  if f then return f, chunk end
  error("error loading module '" .. name .. "' from file '" .. chunk .. "':\n\t" .. message, level)
end

function functions.find_preload(name)
  local loader = preload[name]
  if loader == nil then return BEGIN .. "no field package.preload['" .. name .. "']" end
  if DATA then return loader, ":preload:" end
  return loader
end

-- A file of the script's own: what the host finds, and in sandboxed pools `package.path`.
function functions.find_file(name)
  name = text_argument(name, 1, "require", 4)
  local tried, path = {}, ""
  if not trusted then path = searched_path() end
  local source, chunk = search(name, (gsub(name, "%.", "/")), path, true, tried, 6)
  unsure[name] = nil
  for _, why in ipairs(tried) do
    if not is_absent(why) then unsure[name] = true end
  end
  if chunk == T.info.script and builtin[name] then  -- json.lua asks for json: not for itself
    return BEGIN .. "no file '" .. chunk .. "' but the script itself"
  end
  if not source then return BEGIN .. concat(tried, "\n\t") end
  local f, extra = compiled(name, source, chunk, 6)
  return f, extra
end

local native_searchers = {}  -- of a trusted pool: files along `package.path`, C modules

-- A module that is built in, unless there is a file of that name that cannot be read.
function functions.find_builtin(name)
  if not builtin[name] or unsure[name] then return nil end
  if trusted and package.path ~= DEFAULT_PATH then
    local loader, extra = native_searchers[1](name)
    if type(loader) == "function" then return loader, extra end
  end
  return function() return from_host(name, 6) end, ":luafarm:"
end

if trusted then
  local searchers, stubs = package[SEARCHERS], {}
  for index = 2, #searchers do
    local searcher = searchers[index]
    -- What the host found and would not run (strangers may write it) is not run either
    -- because it lies along `package.path`.
    native_searchers[index - 1] = function(name)
      if unsure[name] then return nil end
      local ok, loader, extra = native.pcall(searcher, name)
      if ok then return loader, extra end
      error((gsub(loader, "^luafarm:%-?%d+: ", "")), 4)  -- our line is of no use
    end
  end
  T.stubs(stubs, "package", "find_file find_builtin")
  searchers[2], searchers[3] = stubs.find_file, stubs.find_builtin
  for index, searcher in ipairs(native_searchers) do searchers[3 + index] = searcher end
end

-- ---- require --------------------------------------------------------------------------

local loading = {}  -- modules whose code runs, or failed, in the request of that number

local function run_loader(name, loader, extra)
  loading[name] = T.info.requests
  local value
  if is51 then value = loader(name) else value = loader(name, extra) end
  loading[name] = nil
  if value ~= nil then loaded[name] = value
  elseif loaded[name] == nil then loaded[name] = true end
  if DATA then return loaded[name], extra end
  return loaded[name]
end

-- Whether the module's code runs just now: Lua 5.1 does not ask, and takes a failure for it.
local function is_running(name)
  if is51 then return true end
  local level, info = 3, getinfo(3, "f")
  while info do
    if rawequal(info.func, run_loader) then
      local _, asked = getlocal(level, 1)
      if asked == name then return true end
    end
    level = level + 1
    info = getinfo(level, "f")
  end
  return false
end

function functions.require(name)
  if type(name) == "number" then name = native.tostring(name) end
  path_argument(name, "require", 1)
  local value = loaded[name]
  if value then return value end
  if loading[name] == T.info.requests and is_running(name) then
    error("loop or previous error loading module '" .. name .. "'", 3)
  end
  if builtin[name] and is_ours(name) then
    value = from_host(name, 5)
    loaded[name] = value
    return value
  end
  local searchers = package[SEARCHERS]
  if type(searchers) ~= "table" then
    error("'package." .. SEARCHERS .. "' must be a table", 3)
  end
  if is_ours(name) then error("module '" .. name .. "' not found:\n\tluafarm has none of that name", 3) end
  local reasons, count, index = {}, 0, 1
  local searcher = rawget(searchers, index)
  -- Called from here and not by Lua's own `require`, so that modules may yield.
  while searcher ~= nil do
    local loader, extra = searcher(name)
    local kind = type(loader)
    if kind == "function" then
      local data
      value, data = run_loader(name, loader, extra)
      if DATA then return value, data end
      return value
    elseif kind == "string" or kind == "number" then
      count = count + 1
      reasons[count] = JOIN .. loader
    end
    index = index + 1
    searcher = rawget(searchers, index)
  end
  error("module '" .. name .. "' not found:" .. concat(reasons, "", 1, count), 3)
end

-- ---- loadlib, searchpath, module -----------------------------------------------------

function functions.loadlib(path, name)
  text_argument(path, 1, "loadlib", 4)
  text_argument(name, 2, "loadlib", 4)
  return nil, "dynamic libraries not enabled; check your Lua installation", "absent"
end

function functions.searchpath(name, path, separator, by)
  name = text_argument(name, 1, "searchpath", 4)
  path = text_argument(path, 2, "searchpath", 4)
  separator = separator == nil and "." or text_argument(separator, 3, "searchpath", 4)
  by = by == nil and "/" or text_argument(by, 4, "searchpath", 4)
  local file, tried = name, {}
  if #name > MAX_PATH then T.argument(1, "package.searchpath", "not a path", 1) end
  if separator ~= "" and #separator <= #name then
    file = gsub(name, gsub(separator, "%p", "%%%0"), function() return by end)
  end
  local _, at
  if separator == "." and by == "/" then
    _, _, at = search(name, file, path, false, tried, 4)
  else
    _, _, at = along(file, path, tried, 4)
  end
  if at then return at end
  return nil, BEGIN .. concat(tried, "\n\t")
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

-- Make a table the globals of the function that called `module`.
local function set_globals(module)
  if is51 then
    local caller = T.called(3, "module")
    if not rawequal(native.getfenv(caller), T.real) then
      native.setfenv(caller, module)
      return
    end
  else
    local info = getinfo(4, "fS")
    -- Lua sets the first upvalue, whatever it is
    if info and info.what ~= "C" and info.source ~= "=luafarm" and info.source ~= "=?"
      and getupvalue(info.func, 1) == "_ENV" then
      setupvalue(info.func, 1, module)
      return
    end
  end
  error("'module' not called from a Lua function", 4)
end

function functions.module(name, ...)
  path_argument(name, "module", 1)
  local module = loaded[name]
  if type(module) ~= "table" then
    module = place(env, name)
    if not module then error("name conflict for module '" .. name .. "'", 3) end
    loaded[name] = module
  end
  if rawget(whole(module), "_NAME") == nil then
    module._M, module._NAME = module, name
    module._PACKAGE = match(name, "^(.-)[^.]*$")
  end
  set_globals(module)
  for index = 1, native.select("#", ...) do
    local option = native.select(index, ...)
    -- 5.2: what a loader is told of its file is none
    if is51 or type(option) == "function" then option(module) end
  end
end

function functions.seeall(module)
  if type(module) ~= "table" then error("bad argument #1 to 'seeall' (table expected)", 3) end
  local meta = getmetatable(whole(module))
  if meta == nil then
    meta = {}
    native.setmetatable(module, meta)
  end
  if type(meta) == "table" then meta.__index = env end
end

return functions
