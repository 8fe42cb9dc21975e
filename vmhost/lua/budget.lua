-- Time of one request, and the stop that cannot be caught.
--
-- A count hook runs every PERIOD instructions. Its first firing within a request sets the
-- deadline of its CPU time, so that a short request never asks the clock. What the host
-- works on behalf of the script counts as well: to the kernel's timer it is all the same.
-- That its wall-clock time is over the host says by the number of its alarm, in a variable of
-- the process's environment: Lua has no fine clock for that.
--
-- Once stopped, the hook fires at every instruction, and the wrapped pcall, resume and the
-- like raise again: no script code goes on. The wrappers also look at the clock themselves:
-- a script that works close to the end of the stack leaves a hook no room to run in. What a
-- hook cannot interrupt (one long C call) is left to the kernel's timer.
--
-- Provides: budget, place, halt, EXIT, leave, rearm, look, hooked, watch, tick.
local T = ...
local clock, sethook = T.library.os.clock, T.library.debug.sethook
local getenv, tonumber, ALARM = T.library.os.getenv, T.native.tonumber, T.config.alarm_variable
local running, getinfo = T.library.coroutine.running, T.library.debug.getinfo
local pace = T.pace
local error, is51 = T.native.error, T.is51

local PERIOD = 1000  -- 100 costs 3 to 5 times as much, more than 1000 gains nothing
local WALL = "time used up"
local CPU = T.library.string.format("CPU time of %g s used up", T.config.cpu_s)
local LOAD_CPU = T.library.string.format("CPU time of %g s used up", T.config.load_cpu_s)
local PATIENCE = 32  -- wrapped calls without a firing of the hook before we look ourselves

local budget = {
  stopped = false,  -- name of the budget that ended this request, or false
  why = "",         -- sentence for the error page
  left = 0,         -- CPU seconds that the request may use
  deadline = false, -- os.clock() at which it ends, once the clock was looked at
  alarm = 0,        -- the number by which the host says that its wall-clock time is over
}
T.budget = budget

-- Chunk and line of the innermost function of the script that runs, or nothing.
function T.place(thread)
  for level = 0, 50 do
    local info
    if thread then info = getinfo(thread, level, "Sl") else info = getinfo(level, "Sl") end
    if not info then return nil end
    if info.currentline > 0 and info.source ~= "=luafarm" and info.source ~= "=?" then
      return info.source, info.currentline
    end
  end
end

local hook
local function halt(name, why)
  budget.stopped, budget.why = name, why
  budget.file, budget.line = T.place()
  if T.hooked then sethook(hook, "", 1) end
  error(why, 0)
end

-- Stop the request for good: name is the budget, why a sentence.
T.halt = halt

-- End the request in the same way, but as one that has done its work.
local EXIT = "exit"
T.EXIT = EXIT
function T.leave() halt(EXIT, "the script has ended its request") end

-- Go on after that.
function T.rearm()
  budget.stopped, budget.why = false, ""
  if T.jit and T.hooked then sethook(hook, "", PERIOD) end
end

local heard = getenv(ALARM)
local function look()
  if budget.stopped then error(budget.why, 0) end
  pace()
  local now, deadline = clock(), budget.deadline
  if not deadline then
    budget.deadline = now + budget.left
  elseif now > deadline then
    halt("cpu", budget.left == T.config.cpu_s and CPU or LOAD_CPU)
  end
  local said = getenv(ALARM)
  if said ~= heard then
    if tonumber(said) == budget.alarm then halt("wall", WALL) end
    heard = said
  end
end
T.look = look

function hook()
  -- LuaJIT has one hook for all threads: on the main thread only our own code runs.
  if is51 and running() == nil then
    if budget.stopped then sethook() end
    return
  end
  look()
end

T.hooked = not (T.jit and T.config.jit)  -- a hook would cost LuaJIT its compiler

-- Hook one coroutine; elsewhere than on LuaJIT hooks belong to threads.
function T.watch(thread)
  if T.hooked then sethook(thread, hook, "", PERIOD) end
end
if T.jit then
  if T.hooked then sethook(hook, "", PERIOD) end
  T.watch = function() end
end

local calls = 0
-- Called by wrappers that can be used to run much code without the hook ever firing, such
-- as a tree of short-lived coroutines.
function T.tick()
  if budget.stopped then error(budget.why, 0) end
  calls = calls + 1
  if calls >= PATIENCE then
    look()     -- may fail for want of stack: then the next call looks again
    calls = 0
  end
end
