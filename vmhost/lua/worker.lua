-- The coroutine in which scripts run, and what the host calls.
--
-- A script runs unprotected in this coroutine. When it fails the coroutine is dead, its
-- stack still tells the traceback, and a new one takes its place.
local T = ...
local native, co, config = T.native, T.library.coroutine, T.config
local create, resume, yield, status, close = co.create, co.resume, co.yield, co.status, co.close
local find, gsub, match, sub = T.library.string.find, T.library.string.gsub,
  T.library.string.match, T.library.string.sub
local getinfo = T.library.debug.getinfo
local error, tonumber, tostring, type = native.error, native.tonumber, native.tostring, native.type
local rawget = native.rawget
local TOKEN, OP, budget, names = T.TOKEN, T.OP, T.budget, T.chunk_names
local DONE, ERROR = OP.DONE, OP.ERROR
local environment, watch, cpu_s = T.environment, T.watch, config.cpu_s
local begin_request, finish_reply, end_request = T.begin_request, T.finish_reply, T.end_request
local EXIT, rearm = T.EXIT, T.rearm  -- a request that has failed cannot end by `os.exit`
local end_log, params, info, drop_reply = T.end_log, T.params, T.info, T.drop_reply

local MAX_MESSAGE, MAX_TRACEBACK, MAX_NAME = 4096, 8192, 4096  -- bytes
local MAX_DIGITS = 9  -- of a line number; a message may say anything
local SYNTAX, MEMORY = "Syntax Error", "Memory Error"

local run_adapter            -- of the loaded script
local syntax = false         -- the error is one of compiling the main chunk

-- ---- what runs in the coroutine: each returns a step --------------------------------------

local function serve(blob, body, more, data)
  info.requests = info.requests + 1
  begin_request(body, more, data)
  run_adapter(params(blob))
  end_request()
  local head, rest = finish_reply()
  return DONE, head, rest, end_log()
end

local function load(source, name)
  info.script = name
  if config.trusted then  -- while the host can be asked
    T.late("reply")
    T.late("standard")
    if T.version == 5.2 then T.late("dates") end
    if not T.jit then
      T.late("posix")
      T.late("programs")
    end
    T.late("package").stand_in_path(name)
  end
  local chunk, message = T.compile_file(source, name)
  if not chunk then
    syntax = true
    error(message, 0)
  end
  run_adapter = T.adapter_of(chunk, source, name)
  if not run_adapter then
    error(config.handler .. "() function not found: the script defines no global function "
      .. config.handler .. ", handler or handle, and returns no application", 0)
  end
  local startup = rawget(environment, "startup")
  if type(startup) == "function" then startup() end
  return DONE, "", "", end_log()
end

local function shutdown()
  local hook = rawget(environment, "shutdown")
  if type(hook) == "function" then hook() end
  return DONE, "", "", end_log()
end

local function work(f, a, b, c, d)
  while true do
    f, a, b, c, d = yield(TOKEN, f(a, b, c, d))
  end
end

-- ---- errors -----------------------------------------------------------------------------

local worker

local function renew()
  worker = create(work)
  watch(worker)
  T.reset_nesting()
end

local function describe(value)  -- the text of an error value
  local kind = type(value)
  if kind == "string" then return T.clear(value) end
  if kind == "number" then return tostring(value) end
  local meta = kind == "table" and native.getmetatable(value)
  if type(meta) == "table" and rawget(meta, "__tostring") ~= nil then
    local thread = create(function() return environment.tostring(value) end)
    watch(thread)
    local ok, text = resume(thread)
    if ok and status(thread) == "dead" and type(text) == "string" then return text end
    if budget.stopped == EXIT then rearm() end
    T.reset_nesting()
  end
  return "(error object is a " .. kind .. " value)"
end

local function whole_names(text)  -- Lua cuts long chunk names: put the whole ones
  return (gsub(text, "%.%.%.[^:\n]+", function(short) return names[short] or nil end))
end

local MAX_SHORT = 60  -- bytes of a chunk's name in a message (LUA_IDSIZE)

-- Chunk name and line with which a message begins, as Lua writes them, if the name is one
-- of a file: `names` knows it. The rest may be anything, also what a visitor sent.
local function begins(message)
  local from = 1
  message = sub(message, 1, MAX_SHORT + MAX_DIGITS + 2)
  while from <= MAX_SHORT do
    local first, _, line = find(message, ":(%d+):", from)
    if not first or first > MAX_SHORT then return nil end
    local name = names[sub(message, 1, first - 1)]
    if name and #line <= MAX_DIGITS then return name, tonumber(line) end
    from = first + 1
  end
end

local function position(thread, message)  -- whole chunk name and line, "" and 0 if unknown
  local name, line
  if not budget.stopped then name, line = begins(message) end
  if not name and syntax then name, line = match(message, "^([^\n]-):(%d+):") end
  if name and tonumber(line) and line ~= "" and #tostring(line) <= MAX_DIGITS then
    return sub(name, 1, MAX_NAME), tonumber(line)
  end
  local source
  if budget.stopped then source, line = budget.file, budget.line else line = nil end
  if not source then source, line = T.place(thread) end
  return source and sub(gsub(source, "^[=@]", ""), 1, MAX_NAME) or "", line or 0
end

local function class_of(message)
  if budget.stopped then return "Budget Exceeded" end
  if syntax then return SYNTAX end
  if find(message, "not enough memory", 1, true) and #message < 200 then return MEMORY end
  return "Runtime Error"
end

-- Message, traceback, file and line of the error value with which a coroutine died.
local function details(thread, value)
  local message = describe(value)
  if budget.stopped then message = budget.why end
  local file, line = position(thread, message)
  local trace = syntax and "" or sub(T.trace(thread, file, line), 1, MAX_TRACEBACK)
  if class_of(message) == "Runtime Error" and line > 0 and not begins(message)
    and not find(message, "^%[string \"") then
    -- A C function called by one of our wrappers does not know the script's line. But who
    -- calls error(text, 0) wants none.
    local innermost, text = getinfo(thread, 0, "f"), gsub(message, "^luafarm:%-?%d+: ", "")
    if not innermost or innermost.func ~= native.error or type(value) ~= "string"
      or text ~= message then
      message = file .. ":" .. line .. ": " .. text
    end
  end
  return whole_names(sub(message, 1, MAX_MESSAGE)), whole_names(trace), file, line
end

-- The step of a request that the script has ended itself.
local function left()
  worker = nil
  end_request()
  renew()
  rearm()
  for _, give in native.ipairs(T.before_exit) do native.pcall(give) end
  local head, rest = finish_reply()
  return DONE, head, rest, end_log()
end

-- The step that tells how the script in the dead coroutine failed.
local function failure(value)
  if budget.stopped == EXIT then return left() end
  local ok, message, trace, file, line = native.pcall(details, worker, value)
  if close and not budget.stopped then
    close(worker)  -- runs its pending __close
    if budget.stopped == EXIT then rearm() end
  end
  worker, value = nil, nil
  if not ok then  -- no memory left to tell
    T.collect()
    message, trace, file, line = "not enough memory", "", "", 0
  end
  end_request()
  drop_reply()
  local class, stopped = class_of(message), budget.stopped
  syntax = false
  renew()
  return ERROR, class, message, trace, file, line, end_log(), stopped and true or false,
    stopped or (class == MEMORY and "memory") or ""
end

-- ---- what the host calls -------------------------------------------------------------------

local function pass(ok, token, ...)
  if token == TOKEN then return ... end
  return failure(token)
end

renew()

local entry = {}

-- Each begins its budget here and not in the coroutine: there the hook might fire before.

function entry.run(params, body, more, data, alarm)
  budget.deadline, budget.left, budget.alarm = false, cpu_s, alarm
  return pass(resume(worker, serve, params, body, more, data))
end

function entry.load(source, name, id, generation, alarm)
  T.info.id, T.info.generation = id, generation
  budget.deadline, budget.left, budget.alarm = false, config.load_cpu_s, alarm
  return pass(resume(worker, load, source, name))
end

function entry.resume(...)
  return pass(resume(worker, TOKEN, ...))
end

function entry.shutdown(alarm)
  budget.deadline, budget.left, budget.alarm = false, config.load_cpu_s, alarm
  return pass(resume(worker, shutdown))
end

-- Give up the request that waits for an operation.
function entry.cancel()
  end_request()
  if close then close(worker) end  -- runs its pending __close
  drop_reply()
  renew()
  if budget.stopped then
    return ERROR, "Budget Exceeded", budget.why, "", "", 0, end_log(), true, budget.stopped
  end
  return DONE, "", "", end_log()
end

entry.collect = T.collect

-- Nothing may be reachable through the real globals: lupa looks there for
-- `debug.traceback` at every call. The native libraries go, but for what we kept.
if not config.trusted then
  local function empty(t)
    for name in native.next, t do t[name] = nil end
  end
  empty(native.package.loaded)
  empty(native.package.preload)
  empty(T.real)
  -- Lua looks there for the names of functions in its messages.
  local loaded, libraries = native.package.loaded, T.library
  loaded._G = native
  for _, name in native.ipairs { "coroutine", "math", "string", "table", "utf8", "bit32" } do
    loaded[name] = libraries[name]
  end
  for name, value in native.next, native do
    if type(value) == "table" then native[name] = nil end
  end
end

return entry.run, entry.load, entry.resume, entry.shutdown, entry.cancel, entry.collect
