-- The request object of luafcgid scripts of all years: `con`, or `req` as it once was.
--
-- One object serves every request of a state; what belongs to the running one lives here
-- and in reply.lua. Used while no request runs it raises an error.
--
-- Provides: begin_request, end_request, is_active, is_read, con, check_running, read_data.
local T = ...
local concat, select, type = T.library.table.concat, T.native.select, T.native.type
local rawequal = T.native.rawequal
local error, tonumber, tostring = T.native.error, T.native.tonumber, T.native.tostring
local put, operate, REFUSED, OP = T.put, T.operate, T.REFUSED, T.OP
local begin_reply = T.begin_reply
local config = T.config

local body        -- STDIN as far as it came with the request and was not read, or false
local remaining   -- STDIN has more at the host
local data        -- the DATA stream (FastCGI Filter) has more at the host
local active = false
local is_lost     -- `finish` has given up what was not read of the streams
local is_read     -- the script has begun to read the body

function T.begin_request(stdin, more, filter)
  body, remaining, data, active, is_lost, is_read = stdin, more, filter, true, false, false
  begin_reply()
end

function T.end_request() active = false end

function T.is_active() return active end
function T.is_read() return is_read end

local methods = {}
local con = T.seal(methods, "LuaFCGId.Request")
T.con = con

local function check(self, name)
  if not rawequal(self, con) then
    error("calling '" .. name .. "' on bad self (write con:" .. name .. "(...))", 3)
  elseif not active then
    error("'" .. name .. "' called while no request is running", 3)
  end
end

-- For a module's function that is called with `con`.
function T.check_running(name)
  if not active then error("'" .. name .. "' called while no request is running", 3) end
end

local function expected(index, name, what, value)
  error("bad argument #" .. index .. " to '" .. name .. "' (" .. what .. " expected, got "
    .. (value == nil and "no value" or type(value)) .. ")", 3)
end

function methods.puts(self, text)
  if not active or not rawequal(self, con) then check(self, "puts") end
  if type(text) ~= "string" then
    if type(text) ~= "number" then expected(1, "puts", "string", text) end
    text = tostring(text)
  end
  put(text)
end

local function gone(name)
  error("'" .. name .. "' after con:finish(): what was not read of the request is gone", 3)
end

-- A piece of a stream from the host; nil at its end. stream: 0 STDIN, 1 DATA.
local function pull(stream, max, name)
  local chunk = operate(OP.READ, stream, max)
  if chunk == REFUSED then T.refuse(name, stream == 0 and 4 or 5) end
  if chunk ~= "" then return chunk end
  return nil
end

function methods.gets(self)
  check(self, "gets")
  local text = body
  body, is_read = false, true
  if not remaining then
    if is_lost then gone("gets") end
    return text ~= "" and text or nil
  end
  local pieces, count = { text or "" }, 1
  while remaining do
    local chunk = pull(0, config.read_bytes, "gets")
    if not chunk then
      remaining = false
    else
      count = count + 1
      pieces[count] = chunk
    end
  end
  text = concat(pieces, "", 1, count)
  return text ~= "" and text or nil
end

local function wanted(max, name)
  if max == nil then return config.read_bytes end
  local bytes = tonumber(max)
  if not (bytes and bytes >= 1) then
    error("bad argument #1 to '" .. name .. "' (positive number expected)", 3)
  end
  bytes = T.library.math.floor(bytes)
  return bytes < config.read_bytes and bytes or config.read_bytes
end

function methods.read(self, max)
  check(self, "read")
  max = wanted(max, "read")
  is_read = true
  if body and body ~= "" then
    local text = body
    if #text <= max then
      body = false
      return text
    end
    body = T.library.string.sub(text, max + 1)
    return T.library.string.sub(text, 1, max)
  end
  if not remaining then
    if is_lost then gone("read") end
    return nil
  end
  local chunk = pull(0, max, "read")
  if not chunk then remaining = false end
  return chunk
end

-- The next piece of the file that a FastCGI Filter filters; nil at its end.
function T.read_data(max)
  if not active then error("'data' called while no request is running", 3) end
  max = wanted(max, "data")
  if not data then
    if is_lost then gone("data") end
    return nil
  end
  local chunk = pull(1, max, "data")
  if not chunk then data = false end
  return chunk
end

function methods.header(self, ...)
  check(self, "header")
  local given = select("#", ...)
  if given == 0 then expected(1, "header", "string or table", nil) end
  local problem = T.set_header(given, ...)
  if problem then error(problem, 2) end
end

function methods.status(self, code)
  check(self, "status")
  local problem = T.set_header(2, "Status", code)
  if problem then error(problem, 2) end
end

function methods.cookie(self, ...)
  check(self, "cookie")
  local problem = T.late("reply").set_cookie(...)
  if problem then error(problem, 2) end
end

function methods.flush(self)
  check(self, "flush")
  T.flush()
end

-- The client has its whole reply now; the script goes on, whatever the client does.
function methods.finish(self)
  check(self, "finish")
  if not T.end_reply() then T.refuse("finish") end
  is_lost = remaining or data or body and body ~= ""
  body, remaining, data = false, false, false
end

-- The script goes on, also if the client leaves.
function methods.detach(self)
  check(self, "detach")
  if operate(OP.DETACH, 0) == REFUSED then T.refuse("detach") end
end

function methods.reset(self)
  check(self, "reset")
  T.reset_body()
end

function methods.log(self, text)
  check(self, "log")
  if type(text) ~= "string" and type(text) ~= "number" then
    expected(1, "log", "string", text)
  end
  T.log("i", type(text) == "number" and tostring(text) or text)
end

-- luafcgid never finished it: it reads nil and sets nothing.
function methods.config(self, name)
  check(self, "config")
  if type(name) ~= "string" then expected(1, "config", "string", name) end
  return nil
end

local function put_filled(values, name, value)
  if value ~= "" then values[name] = value end
end

-- As in early 2011: the last of equal names wins, empty values are left out.
function methods.parse(self, text, limits)
  check(self, "parse")
  if text == nil then return nil end
  if type(text) ~= "string" then expected(1, "parse", "string", text) end
  local values, problem = T.parse(text, limits, put_filled, "con:parse")
  if problem then error(problem, 2) end
  return values
end
