-- WSAPI applications: status, headers, iterator = run(wsapi_env).
--
-- Each piece of the iterator is sent when it comes, unless the application gives a
-- Content-Length: then the reply is collected as any other.
--
-- Called with the application (function, table with `run`, or a module's name) it returns
-- what serves a request.
local T = ...
local byte, find, match, sub = T.library.string.byte, T.library.string.find,
  T.library.string.match, T.library.string.sub
local concat, floor, sort = T.library.table.concat, T.library.math.floor, T.library.table.sort
local error, ipairs, next = T.native.error, T.native.ipairs, T.native.next
local rawget, rawset, rawequal = T.native.rawget, T.native.rawset, T.native.rawequal
local setmetatable, select = T.native.setmetatable, T.native.select
local tonumber, tostring, type = T.native.tonumber, T.native.tostring, T.native.type
local con, env, whole, put, flush = T.con, T.environment, T.whole, T.put, T.flush
local text_of = T.config.trusted and tostring or T.tostring

local NO_RUN = "not a WSAPI application: the script must give a function, a table with a function"
  .. " 'run', or a module's name; it gave a "

local function function_of(application, by_name)
  local kind = type(application)
  if kind == "function" then return application end
  if kind == "string" and by_name then return function_of(env.require(application), false) end
  local run = kind == "table" and application.run
  if type(run) == "function" then return run end
  error(NO_RUN .. (kind == "table" and "table without it" or kind .. " value"), 0)
end

-- Variables that the web server did not send read as "".
local ABSENT = {
  __metatable = false,
  __index = function(t, name)
    if type(name) == "string" then rawset(t, name, "") end
    return ""
  end,
}

local function input_of(length)
  local input, kept, left = { length = length }, "", length
  -- Up to n bytes, all that is left if n is not given; nil at the end.
  function input.read(self, n)
    if type(self) == "number" and n == nil then n = self end  -- called with a dot
    n = n == nil and left or tonumber(n)
    if not n then error("bad argument #1 to 'read' (number expected)", 2) end
    n = floor(n)
    if n <= 0 then return nil end
    local pieces, count, size = { kept }, 1, #kept
    while size < n do
      local piece = con:read(n - size)
      if not piece then break end
      count, size = count + 1, size + #piece
      pieces[count] = piece
    end
    local text = concat(pieces, "", 1, count)
    kept = sub(text, n + 1)
    text = sub(text, 1, n)
    left = left - #text
    return text ~= "" and text or nil
  end
  return input
end

-- Standard error of the application: lines of the log.
local function log_pieces(_, ...)
  local pieces = {}
  for index = 1, select("#", ...) do pieces[index] = text_of((select(index, ...))) end
  local text = concat(pieces)
  local last = #text
  while last > 0 and (byte(text, last) == 10 or byte(text, last) == 13) do last = last - 1 end
  text = sub(text, 1, last)
  if text ~= "" then T.log("e", text) end
end

local function environment_of(params)
  local wsapi_env, headers = whole(params), {}
  wsapi_env.LUAFCGID_VERSION = nil
  for name, value in next, wsapi_env do headers[name] = value end
  setmetatable(wsapi_env, ABSENT)
  local path, script = wsapi_env.PATH_INFO, wsapi_env.SCRIPT_NAME
  if script ~= "" and sub(path, 1, #script) == script then path = sub(path, #script + 1) end
  wsapi_env.PATH_INFO = path == "" and "/" or path
  wsapi_env.APP_PATH = match(wsapi_env.SCRIPT_FILENAME, "^(.*)/[^/]*$") or ""
  local length = tonumber(wsapi_env.CONTENT_LENGTH)
  if not (length and length > 0 and length < 2 ^ 53) then length = 0 end
  wsapi_env.input = input_of(floor(length))
  wsapi_env.error = { write = log_pieces }
  wsapi_env.headers = setmetatable(headers, ABSENT)
  return wsapi_env
end

local function set(name, value)
  local problem = T.set_header(2, name, text_of(value))
  if problem then error(problem, 0) end
end

-- Returns whether there is a Content-Length.
local function set_headers(headers)
  local names, long = {}, false
  for name in next, whole(headers) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  sort(names)
  for _, name in ipairs(names) do
    local value = rawget(headers, name)
    if find(name, "^[Cc]ontent%-[Ll]ength$") then long = true end
    if type(value) == "table" then
      for index = 1, #value do set(name, value[index]) end
    else
      set(name, value)
    end
  end
  return long
end

local function status_of(status)
  local code = tonumber(status)
  if code and code == floor(code) then return T.library.string.format("%.0f", code) end
  if type(status) == "string" then return status end
  error("the first result of run(wsapi_env) must be a status, not " .. (status == nil and "nil"
    or "a " .. type(status) .. " value"), 0)
end

local function is_callable(value)
  if type(value) == "function" then return true end
  local meta = T.library.debug.getmetatable(value)
  return type(meta) == "table" and type(rawget(meta, "__call")) == "function"
end

return function(application)
  local run = function_of(application, true)
  return function(params)
    local status, headers, body = run(environment_of(params))
    status = status_of(status)
    if headers ~= nil and type(headers) ~= "table" then
      error("the second result of run(wsapi_env) must be a table of headers, not a "
        .. type(headers) .. " value", 0)
    end
    local collect = headers and set_headers(headers)
    set("Status", status)
    if type(body) == "string" then return put(body) end
    if body == nil then return end
    if not is_callable(body) then
      error("the third result of run(wsapi_env) must be an iterator or a text, not a "
        .. type(body) .. " value", 0)
    end
    local piece = body()
    while piece ~= nil and piece ~= false do
      put(text_of(piece))
      if not collect and piece ~= "" then flush() end
      piece = body()
    end
  end
end
