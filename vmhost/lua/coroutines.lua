-- Coroutines of scripts, protected calls, and operations.
--
-- A script asks the host for something by yielding TOKEN and flat values. `resume` passes
-- such a yield outward through every coroutine, so an operation works at any depth; values
-- that a script yields itself stay with its own resume. The answer comes back behind TOKEN
-- as well: a script that finds its coroutine still waiting, because passing the yield on
-- failed for want of memory or stack, cannot answer in the host's place.
--
-- Provides: TOKEN, REFUSED, reset_nesting, clear, operate, compute, refuse, coroutine,
--   pcall, xpcall, counted.
local T = ...
local co = T.library.coroutine
local create, resume, yield, status = co.create, co.resume, co.yield, co.status
local running, close, native_isyieldable = co.running, co.close, co.isyieldable
local pcall, xpcall = T.native.pcall, T.native.xpcall
local error, type, setmetatable = T.native.error, T.native.type, T.native.setmetatable
local select = T.native.select
local look, tick, watch, budget = T.look, T.tick, T.watch, T.budget
local getinfo, traceback = T.library.debug.getinfo, T.library.debug.traceback
local find, sub = T.library.string.find, T.library.string.sub
local is51, puc51 = T.is51, T.puc51

local ACROSS = "attempt to yield across metamethod/C-call boundary"

-- Functions, for comparing two tables would call the script's __eq with ours.
local function TOKEN() end
local function REFUSED() return nil end
T.TOKEN, T.REFUSED = TOKEN, REFUSED

-- Coroutines, protected calls, and on LuaJIT callbacks from C, within each other. They use
-- C stack, which LuaJIT does not count, and PUC Lua unwinds a deep stack of protected calls
-- in quadratic time. 180 is within what PUC Lua allows (LUAI_MAXCCALLS, 200).
local MAX_NESTING = 180
local depth = 0    -- coroutines of the script that are active; 0: its main code
local nesting = 0  -- all of these that are active

function T.reset_nesting() depth, nesting = 0, 0 end

local outward  -- yield an operation from the running coroutine, or REFUSED
if native_isyieldable then
  function outward(...)
    if native_isyieldable() then return yield(TOKEN, ...) end
    return REFUSED
  end
elseif puc51 then
  -- Lua 5.1 does not tell. C functions and iterators on the stack can be seen, metamethods
  -- cannot: there yield raises an error, which `clear` puts into words.
  function outward(...)
    local level, info = 2, getinfo(2, "Sn")
    while info do
      if info.what == "C" or info.name == "(for generator)" then return REFUSED end
      level = level + 1
      info = getinfo(level, "Sn")
    end
    return yield(TOKEN, ...)
  end
else
  local function settle(ok, ...)
    if ok then return ... end
    if budget.stopped then error(budget.why, 0) end
    return REFUSED
  end
  function outward(...) return settle(pcall(yield, TOKEN, ...)) end
end

local NO_PLACE = " is not possible inside a callback of sort, gsub or a metamethod"
if puc51 then
  NO_PLACE = " is not possible in Lua 5.1 inside a metamethod, the iterator of a 'for' loop or"
    .. " a callback of a C function such as sort or gsub"
end

-- The error value as scripts and people see it.
function T.clear(value)
  if puc51 and type(value) == "string" and find(value, ACROSS, 1, true) then
    return "waiting" .. NO_PLACE
  end
  return value
end

-- The same for a script that has caught it: a C function that one of ours has called tells
-- our line.
local function clear(value)
  if type(value) ~= "string" then return value end
  local _, last = find(value, "^luafarm:%-?%d+: ")
  return T.clear(last and sub(value, last + 1) or value)
end

local function answered(first, ...)
  if first == TOKEN then return ... end
  if first == REFUSED then return REFUSED end
  error("the operation was given up", 0)
end

-- Ask the host. The first result is REFUSED where Lua cannot yield: inside a callback of
-- sort or gsub, and on Lua 5.1 inside an iterator.
function T.operate(...)
  look()
  return answered(outward(...))
end

-- The same for what Python computes at once: the CPU clock goes on.
function T.compute(...) return answered(outward(...)) end

function T.refuse(what, level) error("'" .. what .. "'" .. NO_PLACE, level or 3) end

local leave
local function onward(d, n, thread, _, ...)  -- an operation
  return leave(d, n, thread, resume(thread, outward(...)))
end
function leave(d, n, thread, ok, ...)
  local first = ...
  if first == TOKEN and ok then return onward(d, n, thread, ...) end
  depth, nesting = d, n
  tick()
  if not ok then return false, clear(first) end
  return true, ...
end

local function enter(thread, ...)
  tick()
  if nesting >= MAX_NESTING then return false, "C stack overflow" end
  local d, n = depth, nesting
  depth, nesting = d + 1, n + 1
  return leave(d, n, thread, resume(thread, ...))
end

local argument, expected, version = T.argument, T.expected, T.version

local function check(thread, name)
  if type(thread) == "thread" then return end
  if version < 5.4 then
    argument(1, name, (version == 5.3 and "thread" or "coroutine") .. " expected", 1)
  end
  expected(1, name, "thread", thread, false, 1)
end

local function new(f)
  tick()
  local thread = create(f)
  watch(thread)
  return thread
end

local library = {}
T.coroutine = library

function library.create(...)
  local f = ...
  if type(f) ~= "function" then
    expected(1, "coroutine.create", "function", f, f == nil and select("#", ...) == 0)
  end
  return new(f)
end

function library.resume(thread, ...)
  if type(thread) ~= "thread" then check(thread, "coroutine.resume") end
  return enter(thread, ...)
end

local CALLER = puc51 and 3 or 2  -- whose line is told; 5.1 counts a tail call as a level
local function unwrap(thread, ok, ...)
  if ok then return ... end
  local message = ...
  if close and status(thread) ~= "normal" and status(thread) ~= "running" then
    local closed, other = close(thread)
    if not closed then message = other end
    tick()
  end
  -- Lua puts the caller's line before a text, too
  error(message, type(message) == "string" and message ~= "not enough memory" and CALLER or 0)
end

function library.wrap(...)
  local f = ...
  if type(f) ~= "function" then
    expected(1, "coroutine.wrap", "function", f, f == nil and select("#", ...) == 0)
  end
  local thread = new(f)
  return function(...) return unwrap(thread, enter(thread, ...)) end
end

function library.yield(...)
  if depth == 0 then error("attempt to yield from outside a coroutine", 2) end
  return yield(...)
end

-- Lua 5.1 cannot yield across pcall, so there a protected call is a coroutine of its own.
-- `shown` maps such a thread to the script's coroutine in which it runs.
local shown = puc51 and setmetatable({}, { __mode = "k" })

-- The script's main code runs in our coroutine, which it never sees.
local main = not is51 and create(function() end)
if main then resume(main) end

function library.running()
  if depth == 0 then
    if is51 then return nil end
    return main, true
  end
  local thread = running()
  if shown then return shown[thread] or thread end
  if is51 then return thread end
  return thread, false
end

function library.status(thread)
  check(thread, "coroutine.status")
  if thread == main then return depth == 0 and "running" or "normal" end
  if shown and depth > 0 and shown[running()] == thread then return "running" end
  return status(thread)
end

if native_isyieldable then
  function library.isyieldable() return depth > 0 and native_isyieldable() end
end

if close then
  function library.close(thread)
    thread = thread == nil and running() or thread
    check(thread, "coroutine.close")
    local now = status(thread)
    if thread == main or now == "running" or now == "normal" then
      error("cannot close a " .. (thread == main and "running" or now) .. " coroutine", 2)
    end
    local n = nesting
    if n >= MAX_NESTING then error("C stack overflow", 2) end
    nesting = n + 1
    local ok, message = close(thread)
    nesting = n
    tick()
    if ok then return true end
    return false, message
  end
end

local function caught(d, n, ok, ...)
  depth, nesting = d, n
  tick()
  if ok then return true, ... end
  return false, clear((...))
end

if puc51 then
  local function outcome(d, n, thread, handler, ok, ...)
    if ok and status(thread) == "suspended" then
      local first = ...
      if first == TOKEN then
        return outcome(d, n, thread, handler, resume(thread, yield(...)))
      end
      depth, nesting = d, n
      return outcome(d, n, thread, handler, resume(thread, yield(...)))
    end
    if ok then return caught(d, n, true, ...) end
    local message = clear((...))
    if budget.stopped or not handler then return caught(d, n, false, message) end
    depth, nesting = d, n
    if handler == traceback then return false, traceback(thread, message) end
    return false, (handler(message))
  end
  local function protected(handler, f, ...)
    tick()
    if nesting >= MAX_NESTING then return false, "C stack overflow" end
    if type(f) ~= "function" or getinfo(f, "S").what == "C" then
      return caught(depth, nesting, pcall(f, ...))  -- 5.1 makes no coroutine of these
    end
    local d, n = depth, nesting
    local thread = create(f)
    watch(thread)
    local around = running()
    shown[thread] = shown[around] or around
    nesting = n + 1
    return outcome(d, n, thread, handler, resume(thread, ...))
  end
  function T.pcall(f, ...) return protected(nil, f, ...) end
  function T.xpcall(f, handler) return protected(handler, f) end
else
  local function too_deep()
    tick()
    return false, "C stack overflow"
  end
  function T.pcall(...)
    local n = nesting
    if n >= MAX_NESTING then return too_deep() end
    if select("#", ...) == 0 then argument(1, "pcall", "value expected") end
    nesting = n + 1
    return caught(depth, n, pcall(...))
  end
  function T.xpcall(f, handler, ...)
    local n = nesting
    if n >= MAX_NESTING then return too_deep() end
    if type(handler) ~= "function" and (version ~= 5.2 or T.jit) then
      expected(2, "xpcall", "function", handler, handler == nil and select("#", ...) == 0)
    elseif handler == nil then
      argument(2, "xpcall", "value expected")
    end
    nesting = n + 1
    return caught(depth, n, xpcall(f, function(message)
      if budget.stopped then return budget.why end
      return handler(clear(message))
    end, ...))
  end
end

-- Count a C function's callbacks into Lua on the C stack: LuaJIT only.
local function back(n, ...)
  nesting = n
  return ...
end
function T.counted(f, ...)
  tick()
  local n = nesting
  if n >= MAX_NESTING then error("C stack overflow", 3) end
  nesting = n + 1
  return back(n, f(...))
end
