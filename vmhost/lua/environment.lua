-- The global environment of a state's script.
--
-- Sandboxed: a table of its own with what stands here and nothing else. Trusted: the real
-- globals, with coroutines and protected calls that let operations through.
--
-- Provides: sealed, seal, environment.
local T = ...
local native = T.native
local error, getmetatable, ipairs, next = native.error, native.getmetatable, native.ipairs, native.next
local rawget, rawset, setmetatable, type = native.rawget, native.rawset, native.setmetatable, native.type
local collectgarbage, pairs = native.collectgarbage, native.pairs
local undecoded, whole = T.undecoded, T.whole

-- API tables cannot be changed: `seal` gives an empty table that reads from the real one.
local sealed = {}  -- the tables that seal made: { members, name }
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

local env
if T.config.trusted then
  env = T.real
  T.environment = env
  env.pcall, env.xpcall = T.pcall, T.xpcall
  for name, f in pairs(T.coroutine) do env.coroutine[name] = f end
  return
end

env = {}
T.environment = env
env._G = env
for _, name in ipairs { "assert", "error", "getmetatable", "ipairs", "next", "pairs",
  "rawequal", "rawget", "rawlen", "select", "tonumber", "type", "_VERSION" } do
  env[name] = native[name]
end
env.pcall, env.xpcall, env.tostring = T.pcall, T.xpcall, T.tostring
for _, name in ipairs { "bit", "bit32", "coroutine", "math", "os", "string", "table",
  "utf8" } do
  env[name] = T[name]
end

function env.rawset(t, key, value)
  if sealed[t] then error("'" .. sealed[t].name .. "' is read-only", 2) end
  if undecoded[t] then whole(t) end
  return rawset(t, key, value)
end

if T.is51 then
  env.unpack = native.unpack
  function env.setmetatable(t, meta)
    if undecoded[t] then whole(t) end
    return setmetatable(t, meta)
  end
  function env.pairs(t)  -- there is no __pairs
    local known = sealed[t]
    if known then return next, copied(known.list), nil end
    if undecoded[t] then whole(t) end
    return pairs(t)
  end
else
  function env.setmetatable(t, meta)
    if type(meta) == "table" and rawget(meta, "__gc") ~= nil then
      error("'__gc' is not allowed: a finalizer would run outside of any request", 2)
    end
    if undecoded[t] then whole(t) end
    return setmetatable(t, meta)
  end
end

function env.collectgarbage(what)
  T.tick()
  if what == nil or what == "collect" or what == "step" then
    T.look()
    T.collect()
    return 0
  elseif what == "count" then
    return collectgarbage("count")
  end
  error("bad argument #1 to 'collectgarbage' (only 'collect', 'step' and 'count' here)", 2)
end
