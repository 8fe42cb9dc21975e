-- OpenResty's `ngx` for scripts whose main chunk is the handler, as with content_by_lua_file:
-- enough for Lapis' router, parameters, views and sessions.
--
-- The chunk runs in a coroutine of ours, as `ngx.exit` must end it through every pcall: it
-- yields outward like an operation, and what is found at our end is never resumed.
--
-- Called with the chunk, and what finds another server's adapter for a chunk and its result, it
-- returns what serves a request. Sets the global `ngx`.
local T = ...
local find, format, gsub, lower = T.library.string.find, T.library.string.format,
  T.library.string.gsub, T.library.string.lower
local match, sub, upper = T.library.string.match, T.library.string.sub, T.library.string.upper
local floor = T.library.math.floor
local co, error, next, ipairs = T.library.coroutine, T.native.error, T.native.next, T.native.ipairs
local create, resume, close = co.create, co.resume, co.close
local rawequal, rawget, rawset = T.native.rawequal, T.native.rawget, T.native.rawset
local select, setmetatable = T.native.select, T.native.setmetatable
local tonumber, tostring, type = T.native.tonumber, T.native.tostring, T.native.type
local shown = T.tostring
local env, con, config, put, TOKEN, REFUSED = T.environment, T.con, T.config, T.put, T.TOKEN, T.REFUSED
local library, request = T.late("foreign_ngx_library"), T.late("foreign_request")
local members, joined = library.members, library.joined
local finish, parse_form, is_active = con.finish, T.late("luafarm.form").parse, T.is_active

local MAX_TIMERS = 64
-- A form that is uploaded: its size is bounded by the state's memory.
local UPLOAD = { bytes = 1 / 0, fields = 1000, files = 1000, field_bytes = 1 / 0, file_bytes = 1 / 0 }
local MAX_HEADERS = 100  -- that get_headers gives unless told otherwise

-- ---- the running request ----------------------------------------------------------------

local params     -- its parameters as a plain table; nil between requests
local headers    -- of the reply: { name, value or array }, by lowered name
local order      -- lowered names as they came, each once
local placed     -- lowered names that are in it
local status     -- set by the script, or nil
local committed  -- the head was handed to the reply
local is_over    -- ngx.eof: the client has its whole reply
local written    -- bytes of the body
local context    -- ngx.ctx
local own_vars   -- what the script has set in ngx.var
local body       -- of the request, once it was read; false: not yet
local timers     -- { due, f, arguments }, in their order

local part_bytes = config.buffering and config.part_bytes or -1

local function running(name)
  if not (params and is_active()) then error("'ngx." .. name .. "' used while no request is running", 3) end
end

local function give(name, value)
  local problem = T.set_header(2, name, value)
  if problem then error(problem, 0) end
end

local function commit()
  if committed then return end
  committed = true
  for index = 1, #order do
    local header = headers[order[index]]
    if header then
      if type(header[2]) == "table" then
        for place = 1, #header[2] do give(header[1], header[2][place]) end
      else
        give(header[1], header[2])
      end
    end
  end
  give("Status", status or 200)
end

local function emit(text)
  written = written + #text
  if not committed and written > part_bytes then commit() end
  put(text)
end

local function EXIT() end

-- ---- output and the end ---------------------------------------------------------------------

local OVER = "seen eof"

function members.print(...)
  running("print")
  if is_over then return nil, OVER end
  emit(joined("print", 0, ...))
  return 1
end
function members.say(...)
  running("say")
  if is_over then return nil, OVER end
  emit(joined("say", 0, ...) .. "\n")
  return 1
end
function members.flush()
  running("flush")
  if is_over then return nil, OVER end
  commit()
  T.flush()
  return 1
end
function members.send_headers()
  running("send_headers")
  commit()
  return 1
end
function members.eof()
  running("eof")
  if is_over then return nil, OVER end
  commit()
  finish(con)
  is_over = true
  return 1
end

local PAGE = "<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n<center><h1>%d</h1></center>\r\n"
  .. "</body>\r\n</html>\r\n"

local function set_header(name, value)
  name = gsub(name, "_", "-")
  local key = lower(name)
  if value == nil then
    headers[key] = nil
    return
  end
  if type(value) == "table" then
    local copy = {}
    for index = 1, #value do copy[index] = value[index] end
    value = copy
  elseif type(value) == "number" or type(value) == "boolean" then
    value = tostring(value)
  elseif type(value) ~= "string" then
    error("the value of header '" .. sub(name, 1, 40) .. "' must be a string, not a " .. type(value)
      .. " value", 3)
  end
  if not placed[key] then order[#order + 1], placed[key] = key, true end
  headers[key] = { name, value }
end

-- What is still to be done for the end comes once that is certain.
local at_end

local function leave(last)
  at_end = last
  T.compute(EXIT)
  at_end = nil
  error("'ngx.exit' is not possible inside a callback of sort, gsub or a metamethod", 3)
end

local function set_status(number)
  if number < 200 then return end
  if not committed and written == 0 then
    status = number
    if number >= 300 and number ~= 304 and not headers.location then
      set_header("Content-Type", "text/html")
      emit(format(PAGE, number, number))
    end
  elseif number >= 300 and number ~= status then
    T.log("e", format("attempt to set status %d via ngx.exit after sending out the response status %d",
      number, status or 200))
  end
end

function members.exit(code)
  running("exit")
  local number = tonumber(code)
  if not number then error("bad argument #1 to 'exit' (number expected)", 2) end
  number = floor(number)
  if number == -1 then number = 500 end
  if number > 599 then error("bad argument #1 to 'exit' (a status expected)", 2) end
  leave(function() set_status(number) end)
end

local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

function members.redirect(target, code)
  running("redirect")
  if type(target) ~= "string" then error("bad argument #1 to 'redirect' (string expected)", 2) end
  code = code == nil and 302 or tonumber(code)
  if not REDIRECTS[code] then error("only 301, 302, 303, 307 and 308 are allowed", 2) end
  if committed then error("attempt to call ngx.redirect after sending out the headers", 2) end
  leave(function()
    T.reset_body()
    written, status = 0, floor(code)
    set_header("Location", target)
  end)
end

-- ---- ngx.header, ngx.var, ngx.req ----------------------------------------------------------------

members.header = setmetatable({}, {
  __index = function(_, name)
    if not params or type(name) ~= "string" then return nil end
    local header = headers[lower((gsub(name, "_", "-")))]
    return header and header[2]
  end,
  __newindex = function(_, name, value)
    running("header")
    if type(name) == "number" then name = tostring(name) end
    if type(name) ~= "string" then error("header name must be a string", 2) end
    if committed then
      return T.log("e", "attempt to set ngx.header." .. sub(name, 1, 40) .. " after sending out response headers")
    end
    set_header(name, value)
  end,
  __metatable = false,
})

members.var = setmetatable({}, {
  __index = function(_, name)
    running("var")
    if type(name) ~= "string" then return nil end
    local value = own_vars[name]
    if value == nil then value = library.variable(params, name) end
    return value
  end,
  __newindex = function(_, name, value)
    running("var")
    if type(name) ~= "string" then error("bad variable name", 2) end
    if type(value) == "number" then value = tostring(value) end
    if value ~= nil and type(value) ~= "string" then error("bad variable value", 2) end
    own_vars[name] = value
  end,
  __metatable = false,
})

local req = {}
members.req = req

function req.get_method() return params and params.REQUEST_METHOD end
function req.http_version() return params and tonumber(match(params.SERVER_PROTOCOL or "", "/(.+)$")) end
function req.is_internal() return false end
function req.start_time() return members.now() end
function req.discard_body() end
function req.get_body_file() return nil end
function req.get_uri_args(max)
  running("req.get_uri_args")
  return members.decode_args(own_vars.args or params.QUERY_STRING or "", max)
end
function req.set_uri_args(args)
  running("req.set_uri_args")
  own_vars.args = type(args) == "table" and members.encode_args(args) or shown(args)
end

-- Keys are lower case; any spelling reads them, with underscores too.
function req.get_headers(max, raw)
  running("req.get_headers")
  local found, count, cut = {}, 0, nil
  max = max == nil and MAX_HEADERS or tonumber(max) or MAX_HEADERS
  for name, value in next, request.headers_in(params) do
    count = count + 1
    if max > 0 and count > max then cut = "truncated" break end
    found[raw and name or lower(name)] = value
  end
  return setmetatable(found, { __metatable = false, __index = function(t, name)
    return type(name) == "string" and rawget(t, (gsub(lower(name), "_", "-"))) or nil
  end }), cut
end

local function set_request_header(name, value)
  running("req.set_header")
  local key = "HTTP_" .. upper((gsub(shown(name), "-", "_")))
  params[key] = value ~= nil and shown(type(value) == "table" and value[1] or value) or nil
end
req.set_header = set_request_header
function req.clear_header(name) set_request_header(name, nil) end

local function read_body()
  if not body then body = con:gets() or "" end
end
function req.read_body()
  running("req.read_body")
  read_body()
end
function req.get_body_data()
  running("req.get_body_data")
  return body and body ~= "" and body or nil
end
function req.get_post_args(max)
  running("req.get_post_args")
  if not body then error("no request body found; maybe you should turn on lua_need_request_body?", 2) end
  return members.decode_args(body, max)
end

-- ---- timers -------------------------------------------------------------------------------

local timer = {}
members.timer = timer

-- They run when the reply has been sent, within the budgets of its request.
function timer.at(delay, f, ...)
  running("timer.at")
  local seconds = tonumber(delay)
  if not (seconds and seconds >= 0 and seconds <= 3600) then
    error("bad argument #1 to 'at' (0 to 3600 seconds expected)", 2)
  end
  if type(f) ~= "function" then error("bad argument #2 to 'at' (function expected)", 2) end
  if #timers >= MAX_TIMERS then return nil, "too many pending timers" end
  timers[#timers + 1] = { members.now() + seconds, f, { ... }, select("#", ...) }
  return 1
end
function timer.every() error("'ngx.timer.every' is not possible: nothing runs without a request", 2) end
function timer.running_count() return 0 end
function timer.pending_count() return params and #timers or 0 end

-- ---- ngx itself ------------------------------------------------------------------------------

local ngx = setmetatable({}, {
  __index = function(_, name)
    if name == "status" then return params and (status or 200) or nil end
    if name == "ctx" then
      running("ctx")
      return context
    end
    if name == "headers_sent" then return params and committed or false end
    return members[name]
  end,
  __newindex = function(t, name, value)
    if name == "status" then
      running("status")
      local number = tonumber(value)
      if not (number and number >= 200 and number <= 599 and number % 1 == 0) then
        error("'" .. T.tostring(value) .. "' is no status of a reply (200 to 599)", 2)
      end
      status = floor(number)
    elseif name == "ctx" then
      running("ctx")
      if type(value) ~= "table" then error("ctx should be a Lua table while getting a " .. type(value), 2) end
      context = value
    else
      rawset(t, name, value)
    end
  end,
  __metatable = false,
  __tostring = function() return "ngx" end,
})
if rawget(env, "ngx") == nil then rawset(env, "ngx", ngx) end

T.late("foreign_openresty")(members, library.json, function()
  running("req.socket")
  if T.is_read() then return nil, "request body already exists" end
  return parse_form(params, con, UPLOAD)
end)

-- ---- serving ------------------------------------------------------------------------------

local function answered(first, ...)
  if first == REFUSED then return REFUSED end
  return TOKEN, first, ...
end

-- Let a coroutine run until it ends or exits; pass its operations on.
local function pump(thread, ok, first, second, ...)
  if ok and first == TOKEN then
    if rawequal(second, EXIT) then
      T.reset_nesting()  -- the coroutines in between are never left
      local last = at_end
      at_end = nil
      last()
      if close then close(thread) end  -- runs its pending __close
      if T.budget.stopped then error(T.budget.why, 0) end
      return
    end
    return pump(thread, resume(thread, answered(T.compute(second, ...))))
  end
  if ok then return first end
  if not T.budget.stopped and type(first) == "string" then
    local file, line = T.place(thread)
    T.log("e", first .. "\n" .. T.trace(thread, file or "", line or 0))
  end
  error(first, 0)
end

local function call(f, ...)
  local thread = create(f)
  T.watch(thread)
  return pump(thread, resume(thread, ...))
end

local function run_timers()
  commit()
  if not is_over then finish(con) end  -- the client has its reply before they run
  local at = 1
  while timers[at] do
    local due, f, arguments, count = timers[at][1], timers[at][2], timers[at][3], timers[at][4]
    local wait = due - members.now()
    if wait > 0 then members.sleep(wait) end
    local ok, why = T.pcall(call, f, false, T.library.table.unpack(arguments, 1, count))
    if not ok and type(why) ~= "string" then T.log("e", "ngx.timer: " .. T.said(why)) end
    at = at + 1
  end
end

-- What the chunk defined if it was no handler after all: its function.
local function other_adapter(chunk, value, adapter_for)
  if written > 0 or committed or status or order[1] then return nil end
  local is_application = type(value) == "function"
    or type(value) == "table" and type(rawget(value, "run")) == "function"
  return adapter_for(chunk, is_application and value or nil)
end

T.before_exit[#T.before_exit + 1] = function()
  if params and not is_over then commit() end
  params = nil
end

return function(chunk, adapter_for)
  local other
  return function(blob)
    if other then return other(blob) end
    params = T.whole(blob)
    headers, order, placed, status, committed, written = {}, {}, {}, nil, false, 0
    context, own_vars, body, timers, is_over = {}, {}, false, {}, false
    other = other_adapter(chunk, call(chunk), adapter_for)
    if other then
      params = nil  -- what runs now is none of ours: nobody would take its `ngx.exit`
      return other(blob)
    end
    commit()
    if timers[1] then run_timers() end
    params, headers, context, own_vars, body, timers = nil, nil, nil, nil, nil, nil
  end
end
