-- `debug` of sandboxed scripts: what a program may know and change about its own functions.
--
-- Our own functions and the C functions that they call are shown as one C function each, as
-- in stock Lua, and never opened: no upvalue, local variable or environment of theirs is
-- told or set. A script's functions are its own: their upvalues and named local variables
-- may be read, set and joined. Not the hidden ones (of `for` loops): C takes their types for
-- granted. Registry and metatables of whole types are denied, for trusted code meets them;
-- hooks are accepted and never run, for the budgets' hook is the only one.
--
-- Stubs (late.lua) call these functions: levels count them.
local T = ...
local native, D, env = T.native, T.library.debug, T.environment
local error, next = native.error, native.next
local rawequal, select, setmetatable = native.rawequal, native.select, native.setmetatable
local tonumber, type = native.tonumber, native.type
local find, sub = T.library.string.find, T.library.string.sub
local concat, floor = T.library.table.concat, T.library.math.floor
local getinfo, getlocal, setlocal = D.getinfo, D.getlocal, D.setlocal
local running, script_running = T.library.coroutine.running, T.coroutine.running
local version = T.version

local LOOK = version >= 5.2 and "St" or "S"
local MAX_LEVEL = 2 ^ 31 - 1
local library = {}

local function bad(index, name, message)  -- an error of the function that calls this one
  T.argument(index, "debug." .. name, message, 2)
end

local function is_hidden(info)
  return info.what == "C" or info.source == "=luafarm" or info.source == "=?"
    or info.linedefined < 0  -- of LuaJIT's own, which it calls Lua functions
end

-- Whether a function is the script's own.
local function is_own(f) return not is_hidden(getinfo(f, "S")) end

local function integer(value, index, name)
  local number = tonumber(value)
  if not number then T.expected(index, "debug." .. name, "number", value, value == nil, 2) end
  if not (number >= -MAX_LEVEL and number <= MAX_LEVEL) then return MAX_LEVEL end
  return floor(number)
end

-- The native level of what a script calls `level`, and whether it is one of its own
-- functions: a run of ours and of C functions counts as one. Level 0 of the running
-- coroutine is the function of `debug` that the script called.
-- thread: nil for the running one.
local function seek(thread, level)
  local at, seen, in_run = thread and 0 or 1, -1, false
  while true do
    local info
    if thread then info = getinfo(thread, at, "S") else info = getinfo(at, LOOK) end
    if not info then return nil end
    if is_hidden(info) then
      if not in_run then seen = seen + 1 end
      in_run = true
      if seen == 0 and info.istailcall and not thread then
        if level == 1 then return -1 end
        seen = 1  -- Lua keeps the caller's frame where it calls C, ours is gone
      end
    else
      seen, in_run = seen + 1, false
    end
    if seen == level then
      if not thread then at = at - 1 end  -- as the caller counts
      return at, not in_run
    end
    at = at + 1
  end
end

-- The last frame of the run that begins at a native level: what the script called itself.
local function outermost(thread, at)
  while true do
    local info
    if thread then info = getinfo(thread, at + 1, "S") else info = getinfo(at + 2, "S") end
    if not info then return at, true end
    if not is_hidden(info) then return at, false end
    at = at + 1
  end
end

-- The thread argument, nil if it is the one that runs, and how many arguments it was.
local function thread_of(...)
  local thread = ...
  if type(thread) ~= "thread" then return nil, 0 end
  if rawequal(thread, running()) or rawequal(thread, (script_running())) then return nil, 1 end
  return thread, 1
end

-- What a script can name itself: then it has it already.
local function is_public(f)
  for _, value in next, env do
    if rawequal(value, f) then return true end
  end
  for _, members in next, env do
    if type(members) == "table" and not T.sealed[members] then
      for _, value in next, members do
        if rawequal(value, f) then return true end
      end
    end
  end
  return false
end

local FIELDS = {  -- what a C function has, by option
  S = { source = "=[C]", short_src = "[C]", what = "C", linedefined = -1, lastlinedefined = -1 },
  l = { currentline = -1 },
  n = { namewhat = "" },
  u = { nups = 0 },
  t = {}, f = {}, L = {}, r = {},
}
if not T.puc51 then FIELDS.u.nparams, FIELDS.u.isvararg = 0, true end
if version >= 5.2 then FIELDS.t.istailcall = false end
if version >= 5.4 then FIELDS.r.ftransfer, FIELDS.r.ntransfer = 0, 0 end
if version >= 5.5 then FIELDS.t.extraargs = 0 end
local OPTIONS = "^[Slnuf" .. (version >= 5.2 and "t" or "") .. "L" .. (version >= 5.4 and "r" or "") .. "]*$"

local function as_c(what, f, name, namewhat)
  local info = {}
  for at = 1, #what do
    for key, value in next, FIELDS[sub(what, at, at)] do info[key] = value end
  end
  if find(what, "f", 1, true) then info.func = f end
  if find(what, "n", 1, true) then info.name, info.namewhat = name, namewhat or "" end
  return info
end

function library.getinfo(...)
  local thread, at = thread_of(...)
  local f, what = select(at + 1, ...)
  if what == nil then
    what = "Slnuf" .. (version >= 5.2 and "t" or "") .. (version >= 5.4 and "r" or "")
  elseif type(what) ~= "string" then
    bad(at + 2, "getinfo", "string expected, got " .. type(what))
  elseif not find(what, OPTIONS) then
    bad(at + 2, "getinfo", "invalid option")
  end
  if type(f) == "function" then
    if is_own(f) then return getinfo(f, what) end
    return as_c(what, f)
  end
  if version <= 5.2 and not tonumber(f) then bad(at + 1, "getinfo", "function or level expected") end
  local level = integer(f, at + 1, "getinfo")
  if level < 0 then
    if version >= 5.2 then return nil end
    bad(at + 1, "getinfo", "level out of range")
  end
  local index, own = seek(thread, level)
  if not index then return nil end
  if index < 0 then return as_c(what) end
  if own then
    if thread then return (getinfo(thread, index, what)) end
    return (getinfo(index, what))
  end
  local last, is_bottom = outermost(thread, index)
  if is_bottom and not thread then return as_c(what) end  -- our own, below the script
  local info
  if thread then info = getinfo(thread, last, "nf") else info = getinfo(last, "nf") end
  return as_c(what, is_public(info.func) and info.func or nil, info.name, info.namewhat)
end

-- ---- tracebacks -----------------------------------------------------------------------

local ENDS = 11  -- frames told at either end of a deep stack
local DEEP = 200 -- frames; what is between the ends of a deeper one is not looked at

local function line_of(info)
  local name = info.name
  if name and not find(name, "^[%a_][%w_]*$") then name = nil end
  if is_hidden(info) then
    return "\t[C]: in " .. (name and "function '" .. name .. "'" or "?")
  end
  local line = info.currentline
  return "\t" .. info.short_src .. (line > 0 and ":" .. line or "") .. ": in "
    .. (info.what == "main" and "main chunk" or "function "
      .. (name and "'" .. name .. "'" or "<" .. info.short_src .. ":" .. info.linedefined .. ">"))
end

-- Of a level as its caller counts: Lua walks there frame by frame.
local function info_at(thread, at, what)
  if thread then return (getinfo(thread, at, what)) end
  return (getinfo(at + 1, what))
end

-- The level where the end of a deep stack begins; nil of one that is not.
local function end_of(thread, at)
  local low, high = at + 1, at + 1 + DEEP
  if not info_at(thread, high, "l") then return nil end
  while info_at(thread, high, "l") do low, high = high, high * 2 end
  while high - low > 1 do
    local middle = floor((low + high) / 2)
    if info_at(thread, middle, "l") then low = middle else high = middle end
  end
  return high - DEEP
end

-- Lines for the frames from a level on, as the script counts; of a deep stack those at its
-- ends, and how many levels are between.
local function frames(thread, level)
  local lines, seen, own_run, run = {}, -1, false, nil
  local at, between = thread and 0 or 1, 0
  local tail = end_of(thread, at)
  while true do
    if tail and at < tail and #lines > ENDS then
      between, at, tail, own_run, run = tail - at, tail, nil, false, nil
    end
    local info = info_at(thread, at, "Sln")
    local hidden = info and is_hidden(info)
    if run and not hidden then
      if seen >= level then lines[#lines + 1] = line_of(run) end
      run = nil
    end
    if not info then break end
    if info.what ~= "tail" then
      if not hidden or not own_run then seen = seen + 1 end
      own_run = hidden
      if hidden then run = info
      elseif seen >= level then lines[#lines + 1] = line_of(info) end
    end
    at = at + 1
  end
  return lines, between
end

function library.traceback(...)
  local thread, at = thread_of(...)
  local message, level = select(at + 1, ...)
  if message ~= nil and type(message) ~= "string" and type(message) ~= "number" then
    return message
  end
  if level == nil then level = thread and 0 or 1 else level = integer(level, at + 2, "traceback") end
  if T.jit and message == nil and select("#", ...) > at then return nil end
  local lines, between = frames(thread, level)
  local count, text = #lines, "stack traceback:"
  if message ~= nil then text = message .. "\n" .. text end
  if count > 2 * ENDS then
    return text .. "\n" .. concat(lines, "\n", 1, ENDS) .. "\n\t..."
      .. (version >= 5.4 and "\t(skipping " .. count - 2 * ENDS + between .. " levels)" or "") .. "\n"
      .. concat(lines, "\n", count - ENDS + 1, count)
  elseif count == 0 then
    return text
  end
  return text .. "\n" .. concat(lines, "\n")
end

-- ---- local variables and upvalues --------------------------------------------------------

local function is_variable(name) return sub(name, 1, 1) ~= "(" end

function library.getlocal(...)
  local thread, at = thread_of(...)
  local f, index = select(at + 1, ...)
  index = integer(index, at + 2, "getlocal")
  if type(f) == "function" then
    if T.puc51 then bad(at + 1, "getlocal", "number expected, got function") end
    if is_own(f) then return (getlocal(f, index)) end
    return nil
  end
  local level = integer(f, at + 1, "getlocal")
  local place, own = seek(thread, level)
  if level < 0 or not place then bad(at + 1, "getlocal", "level out of range") end
  if place < 0 or not own then return nil end
  local name, value
  if thread then name, value = getlocal(thread, place, index)
  else name, value = getlocal(place, index) end
  if name == nil then return nil end
  if not is_variable(name) and index > 0 then value = nil end  -- of a `for` loop, or between
  return name, value
end

-- In Lua 5.5 the visible variable of a numeric `for` is the one that C counts in, whatever
-- type it has: there a variable is never written to from here, nor shared. `fresh` binds a
-- function's upvalue to a new variable instead.
local is_shared = version < 5.5

local function fresh(f, index, value)
  D.upvaluejoin(f, index, function() return value end, 1)
end

function library.setlocal(...)
  if not is_shared then
    error("debug.setlocal: not possible in Lua 5.5 in a sandboxed pool", 3)
  end
  local thread, at = thread_of(...)
  local f, index, value = select(at + 1, ...)
  local level = integer(f, at + 1, "setlocal")
  index = integer(index, at + 2, "setlocal")
  local place, own = seek(thread, level)
  if level < 0 or not place then bad(at + 1, "setlocal", "level out of range") end
  if not own or index < 1 then return nil end
  local name
  if thread then name = getlocal(thread, place, index) else name = getlocal(place, index) end
  if name == nil or not is_variable(name) then return nil end
  if thread then setlocal(thread, place, index, value) else setlocal(place, index, value) end
  return name
end

local function check_function(f, index, name)
  if type(f) ~= "function" then
    T.expected(index, "debug." .. name, "function", f, f == nil, 2)
  end
end

function library.getupvalue(f, index)
  index = integer(index, 2, "getupvalue")
  check_function(f, 1, "getupvalue")
  if not is_own(f) then return nil end
  return D.getupvalue(f, index)
end

function library.setupvalue(f, index, ...)
  if select("#", ...) == 0 then bad(3, "setupvalue", "value expected") end
  index = integer(index, 2, "setupvalue")
  check_function(f, 1, "setupvalue")
  if not is_own(f) then return nil end
  if is_shared then return D.setupvalue(f, index, (...)) end
  local name = D.getupvalue(f, index)
  if name == nil then return end
  fresh(f, index, (...))
  return name
end

if D.upvalueid then
  -- Lua's answer is an address. Ours is an empty table: equal for the same variable, as long
  -- as somebody has it.
  local ids = setmetatable({}, { __mode = "v" })

  local function id_of(f, index)  -- nil: no such upvalue, or not the script's
    if not is_own(f) or D.getupvalue(f, index) == nil then return nil end
    return D.upvalueid(f, index)
  end

  function library.upvalueid(f, index)
    index = integer(index, 2, "upvalueid")
    check_function(f, 1, "upvalueid")
    local id = id_of(f, index)
    if id == nil then
      if version >= 5.4 then return nil end
      bad(2, "upvalueid", "invalid upvalue index")
    end
    local token = ids[id]
    if not token then
      token = {}
      ids[id] = token
    end
    return token
  end

  function library.upvaluejoin(f, index, other, place)
    index, place = integer(index, 2, "upvaluejoin"), integer(place, 4, "upvaluejoin")
    check_function(f, 1, "upvaluejoin")
    check_function(other, 3, "upvaluejoin")
    local id, to = id_of(f, index), id_of(other, place)
    if id == nil then bad(2, "upvaluejoin", "invalid upvalue index") end
    if to == nil then bad(4, "upvaluejoin", "invalid upvalue index") end
    if id == to then return end  -- joined to itself it was once freed
    if is_shared then
      D.upvaluejoin(f, index, other, place)
    else
      local _, value = D.getupvalue(other, place)
      fresh(f, index, value)
    end
  end
end

return library
