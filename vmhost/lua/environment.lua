-- The global environment of a state's script.
--
-- Sandboxed: a table of its own with what stands here and nothing else. Trusted: the real
-- globals, with coroutines and protected calls that let operations through.
--
-- Provides: sealed, seal, environment, change_metatable.
local T = ...
local native = T.native
local error, getmetatable, ipairs, next = native.error, native.getmetatable, native.ipairs, native.next
local rawget, rawset, setmetatable, type = native.rawget, native.rawset, native.setmetatable, native.type
local argument, select = T.argument, native.select
local tostring, pairs, metatable_of = native.tostring, native.pairs, T.library.debug.getmetatable
local undecoded, whole = T.undecoded, T.whole

-- API tables cannot be changed: `seal` gives an empty table that reads from the real one.
local sealed = setmetatable({}, { __mode = "k" })  -- the tables that seal made: { members, name }
T.sealed = sealed

local function copied(members)
  local copy = {}
  for key, value in next, members do copy[key] = value end
  return copy
end

-- members: table, or function(table, key) that computes; name: what tostring says.
function T.seal(members, name, listed)
  local list = listed or members
  local front = {}
  sealed[front] = { list = list, name = name }
  return setmetatable(front, {
    __index = members,
    __newindex = function(_, key)
      error("'" .. name .. "' is read-only: cannot set '" .. T.tostring(key) .. "'", 2)
    end,
    __metatable = false,
    __pairs = function() return next, copied(list), nil end,
    __tostring = function() return name end,
  })
end

-- What distributions build in, and lupa does not, besides functions of `math` and `table`.
local function complete(globals)
  if T.version <= 5.2 then globals.unpack = T.library.table.unpack end
  if T.version == 5.3 and not T.bit32 then
    globals.bit32 = {}
    T.stubs(globals.bit32, "bits", "arshift band bnot bor btest bxor extract lrotate lshift "
      .. "replace rrotate rshift")
  end
end

local env
if T.config.trusted then
  env = T.real
  T.environment = env
  env.pcall, env.xpcall = T.pcall, T.xpcall
  for name, f in pairs(T.coroutine) do env.coroutine[name] = f end
  for _, name in ipairs { "math", "table" } do
    for key, f in next, T[name] do
      if env[name][key] == nil then env[name][key] = f end
    end
  end
  complete(env)
  return
end

env = {}
T.environment = env
env._G = env
for _, name in ipairs { "assert", "error", "getmetatable", "ipairs", "next", "pairs",
  "rawequal", "rawget", "rawlen", "select", "tonumber", "type", "_VERSION" } do
  env[name] = native[name]
end
env.pcall, env.xpcall = T.pcall, T.xpcall
local text, is_old = T.tostring, T.version < 5.3
function env.tostring(...)
  local value = ...
  local kind = type(value)
  if kind == "number" then return tostring(value) elseif kind == "string" then return value end
  if value == nil and select("#", ...) == 0 then argument(1, "tostring", "value expected") end
  if is_old and kind == "table" then  -- any result of __tostring will do
    local meta = metatable_of(value)
    if meta ~= nil and rawget(meta, "__tostring") ~= nil then return T.said(value) end
  end
  return text(value)
end
for _, name in ipairs { "bit", "bit32", "coroutine", "math", "os", "string", "table",
  "utf8" } do
  env[name] = T[name]
end

function env.rawset(t, key, value)
  if sealed[t] then error("'" .. sealed[t].name .. "' is read-only", 2) end
  if undecoded[t] then whole(t) end
  if type(t) ~= "table" then T.expected(1, "rawset", "table", t, t == nil and key == nil) end
  return rawset(t, key, value)
end

local function check_metatable(t, meta, ...)
  if type(t) ~= "table" then
    T.expected(1, "setmetatable", "table", t, t == nil and meta == nil, 1)
  end
  if type(meta) ~= "table" and (meta ~= nil or select("#", ...) == 0) then
    if T.version < 5.4 then argument(2, "setmetatable", "nil or table expected", 1) end
    T.expected(2, "setmetatable", "nil or table", meta, meta == nil, 1)
  end
  local now = metatable_of(t)
  if now ~= nil and rawget(now, "__metatable") ~= nil then
    error("cannot change a protected metatable", 3)
  end
end

complete(env)
if T.is51 then
  function env.setmetatable(t, ...)
    if undecoded[t] then whole(t) end
    check_metatable(t, (...), ...)
    return setmetatable(t, (...))
  end
  function env.pairs(t)  -- there is no __pairs
    local known = sealed[t]
    if known then return next, copied(known.list), nil end
    if undecoded[t] then whole(t) end
    return pairs(t)
  end
else
  -- A finalizer would run outside of any request. Lua looks for `__gc` when a table gets
  -- its metatable and never again: where it is not there then, it never runs.
  function env.setmetatable(t, ...)
    local meta = ...
    if undecoded[t] then whole(t) end
    check_metatable(t, meta, ...)
    local finalizer  -- anything but nil, false as well, would mark the table
    if meta then finalizer = rawget(meta, "__gc") end
    if finalizer == nil then return setmetatable(t, meta) end
    rawset(meta, "__gc", nil)
    setmetatable(t, meta)
    rawset(meta, "__gc", finalizer)
    return t
  end
end
T.change_metatable = env.setmetatable

env.debug = {}
T.stubs(env.debug, "debug", "getinfo getlocal getupvalue setlocal setupvalue traceback upvalueid "
  .. "upvaluejoin", T.library.debug)
T.stubs(env.debug, "objects", "debug getfenv gethook getmetatable getregistry getuservalue "
  .. "setcstacklimit setfenv sethook setmetatable setuservalue", T.library.debug)
local late, pass = T.late, T.pass
function env.collectgarbage(...)
  local option = ...
  if option == nil or option == "collect" then  -- there may be no memory for the late file
    T.look()
    T.collect()
    return 0
  end
  return pass(late("garbage").collectgarbage(...))
end
if T.is51 then T.stubs(env, "names", "newproxy gcinfo") end
if T.version >= 5.4 then T.stubs(env, "names", "warn") end
if T.jit then  -- sandboxed pools have the interpreter alone
  local jit, nothing = T.real.jit, function() end
  env.jit = { version = jit.version, version_num = jit.version_num, os = jit.os, arch = jit.arch,
    on = nothing, off = nothing, flush = nothing, attach = nothing, security = nothing,
    opt = { start = nothing }, status = function() return false end }
end
