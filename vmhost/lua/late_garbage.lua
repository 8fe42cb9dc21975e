-- `collectgarbage` of sandboxed scripts but for collecting (environment.lua): every option is
-- answered as Lua answers it, but the pace of the collector follows the quota (memory.lua), so a
-- script cannot stop or slow it. A function of ours calls it: levels count that.
local T = ...
local version = T.version
local collectgarbage, type = T.native.collectgarbage, T.native.type
local tonumber, floor = T.native.tonumber, T.library.math.floor

-- What a script has set, and was told; the dialect's own to begin with.
local settings = { pause = 200, stepmul = version >= 5.4 and 100 or 200 }
if version >= 5.5 then
  settings = { pause = T.pause, stepmul = T.speed }
  for _, name in T.native.ipairs { "minormul", "majorminor", "minormajor", "stepsize" } do
    settings[name] = collectgarbage("param", name)
  end
end
local is_running, mode = true, "incremental"

local function number(value, index, default)
  if value == nil then return default end
  local found = tonumber(value)
  if not found then
    T.expected(index, "collectgarbage", "number", value, false, 3)
  end
  return floor(found)
end

local options = {}
function options.step(value)
  number(value, 2)
  T.look()
  T.collect()
  return true
end
if version == 5.2 then
  function options.count()
    local kib = collectgarbage("count")
    return kib, floor(kib * 1024 % 1024)
  end
else
  function options.count() return (collectgarbage("count")) end
end
function options.stop()
  is_running = false
  return 0
end
function options.restart()
  is_running = true
  return 0
end
if T.jit or version >= 5.2 then
  function options.isrunning() return is_running end
end

local function exchange(name, value, index, default)
  local before = settings[name]
  settings[name] = number(value, index, default)
  return before
end
if version < 5.5 then
  function options.setpause(value) return exchange("pause", value, 2, 0) end
  function options.setstepmul(value) return exchange("stepmul", value, 2, 0) end
else
  function options.param(name, value)
    if type(name) ~= "string" or settings[name] == nil then
      T.argument(2, "collectgarbage", "invalid option '" .. T.tostring(name) .. "'", 2)
    end
    return exchange(name, value, 3, settings[name])
  end
end
if version == 5.2 then
  settings.majorinc = 200
  function options.setmajorinc(value) return exchange("majorinc", value, 2, 0) end
end
if version == 5.2 or version >= 5.4 then
  for _, name in T.native.ipairs { "generational", "incremental" } do
    options[name] = function()
      if version == 5.2 then return 0 end
      local before = mode
      mode = name
      return before
    end
  end
end

local function answer(option, ...)
  T.tick()
  if type(option) == "number" then option = T.native.tostring(option) end
  if type(option) ~= "string" then
    T.expected(1, "collectgarbage", "string", option, false, 1)
  end
  local f = options[option]
  if not f then
    T.argument(1, "collectgarbage", "invalid option '" .. option .. "'", 1)
  end
  return f(...)
end

return { collectgarbage = answer }
