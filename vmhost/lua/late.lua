-- What few scripts use: Lua files that a state runs when it first needs them.
--
-- The code of those that stand for parts of Lua lies in this process's environment
-- (latecode.py), as every state may call getenv(3) wherever its script is: in a callback of
-- gsub, a metamethod, a handler of xpcall. A state holds nothing of it before. The others,
-- modules that are built in and handlers of other servers, come from the host. So do all in
-- trusted states, whose programs would inherit such an environment.
--
-- Provides: late, pass, stubs.
local T = ...
local getenv, gmatch, gsub = T.library.os.getenv, T.library.string.gmatch, T.library.string.gsub
local load, pcall = T.native.loadstring or T.native.load, T.native.pcall
local error = T.native.error
local operate, OP, REFUSED = T.operate, T.OP, T.REFUSED
local PREFIX = T.config.late_variable

local BYTES = { ["\1"] = "\1", ["\2"] = "\0" }  -- by what follows \1: a variable holds no NUL
local made = {}  -- what they returned, by name

local function run(code)
  local f, why = load(code, "=luafarm")
  if not f then error(why, 0) end  -- for want of memory
  return f(T)
end

local function from_environment(name)
  local code = getenv(PREFIX .. name)
  if not code then return nil end
  return run((gsub(code, "\1(.)", BYTES)))
end

-- What a late file returns; nothing if the host has it and cannot be asked here.
local function late(name)
  local found = made[name]
  if found then return found end
  local ok
  ok, found = pcall(from_environment, name)
  if not ok then  -- for want of memory, and a script may be about to collect garbage
    T.collect()
    found = from_environment(name)
  end
  if not found then
    local code = operate(OP.BUILTIN, name)
    if code == REFUSED then return nil end
    found = run(code)
  end
  made[name] = found
  return found
end
T.late = late

-- Results on their way out: who calls it as its last stays a frame of its own until then.
local function pass(...) return ... end
T.pass = pass

-- Put functions of a late file, by names, into `members`; if `real` is given, those that it has.
-- They are stubs and stay it, for scripts compare functions. So each of them is called by a
-- function of ours, and counts one level more in its errors.
function T.stubs(members, file, names, real)
  for name in gmatch(names, "%S+") do
    if not real or real[name] then
      members[name] = function(...) return pass(late(file)[name](...)) end
    end
  end
end
