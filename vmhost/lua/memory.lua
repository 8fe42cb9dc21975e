-- The pace of the garbage collector, which must follow the quota.
--
-- Left alone it lets memory double before it collects, and only some allocations collect
-- when none is left (none on LuaJIT; on Lua 5.4 and later not those of string buffers). So a
-- state that rightly uses more than half of its quota would fail for garbage. Above half it
-- collects without a pause and faster than a script can allocate.
--
-- Provides: pause, speed, pace, collect.
local T = ...
local collectgarbage = T.native.collectgarbage

local HALF = T.config.memory_bytes / 2048  -- KiB
local set
if T.version >= 5.5 then
  function set(name, value) return collectgarbage("param", name, value) end
else
  function set(name, value) return collectgarbage("set" .. name, value) end
end
local PAUSE, SPEED = set("pause", 200), set("stepmul", 400)  -- the dialect's own
T.pause, T.speed = PAUSE, SPEED
set("pause", PAUSE)
set("stepmul", SPEED)

local is_tight = false

function T.pace()
  local tight = collectgarbage("count") > HALF
  if tight == is_tight then return end
  is_tight = tight
  set("pause", tight and 115 or PAUSE)
  set("stepmul", tight and 1000 or SPEED)
  if tight then collectgarbage("step", 0) end
end

-- Collect everything.
function T.collect()
  collectgarbage("collect")
  T.pace()
end
