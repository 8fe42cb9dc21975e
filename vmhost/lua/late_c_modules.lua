-- The C modules that the operator gives to sandboxed scripts (`c_modules` of a pool).
--
-- The host has opened their libraries before it lost its files. A script gets copies of
-- their tables, and for the metatables of what they make copies as well: C trusts what is in
-- them, and finalizers are nobody else's.
-- Returns the searcher for them; run while the prelude is, if a pool has some.
local T = ...
local native = T.native
local next, rawget, rawset, type = native.next, native.rawget, native.rawset, native.type
local gmatch, gsub, match = T.library.string.gmatch, T.library.string.gsub, T.library.string.match
local getregistry = T.library.debug.getregistry
local loadlib, native_loaded = native.package.loadlib, native.package.loaded
local globals, error = T.real, native.error

local paths, functions = {}, {}  -- of the open libraries, by the name of the module
for name, f, path in gmatch(T.config.c_modules, "([^\t\n]+)\t([^\t\n]+)\t([^\n]+)\n") do
  paths[name], functions[name] = path, f
end

-- Plain tables are copied, each once; all other values are the module's own.
local function copied(value, copies)
  if type(value) ~= "table" then return value end
  local copy = copies[value]
  if copy then return copy end
  copy = {}
  copies[value] = copy
  for key, inner in next, value do copy[key] = copied(inner, copies) end
  return copy
end

-- LuaJIT does not count callbacks from C: where a module calls back, we do. In the module's
-- own tables, for these are also where methods of what it makes come from.
local function count_callbacks(t)
  for key, f in next, t do
    if type(f) == "function" then
      t[key] = function(...) return T.counted(f, ...) end
    end
  end
end

local function keys(t)
  local found = {}
  for key in next, t do found[key] = true end
  return found
end

-- Call `luaopen_...`, and take back what it has put where only our own code looks.
local function open(name, f)
  local registry = getregistry()
  local registered, global, listed = keys(registry), keys(globals), keys(native_loaded)
  local module = f(name)
  if type(module) ~= "table" then module = rawget(native_loaded, name) or module end
  if T.jit and type(module) == "table" then count_callbacks(module) end
  for key, value in next, registry do
    if not registered[key] and type(key) == "string" and type(value) == "table" then
      local shown = copied(value, {})
      shown.__gc, shown.__close = nil, nil
      rawset(value, "__metatable", shown)
    end
  end
  for key in next, keys(globals) do
    if not global[key] then globals[key] = nil end
  end
  for key in next, keys(native_loaded) do
    if not listed[key] then native_loaded[key] = nil end
  end
  return copied(module, {})
end

-- A library may hold several modules: cjson.so has `cjson` and `cjson.safe`.
return function(name)
  local path = paths[name] or paths[match(name, "^[^.]*")]
  if not path then return nil end
  local f, why, what = loadlib(path, functions[name] or "luaopen_" .. gsub(name, "%.", "_"))
  if not f and what == "init" and not paths[name] then
    return (T.version >= 5.4 and "" or "\n\t") .. "no module '" .. name .. "' in file '" .. path .. "'"
  end
  if not f then error("error loading module '" .. name .. "':\n\t" .. why, 3) end
  return function() return open(name, f) end, path
end
