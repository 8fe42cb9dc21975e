-- Apache's mod_lua: global handle(r), with all of r that needs no Apache inside.
--
-- What r gathers for the head (status, content_type, headers_out, err_headers_out) is handed to
-- the reply when the first bytes go, or at the end.
--
-- Returns run, which serves a request. Sets the global `apache2`.
local T = ...
local find, format, gmatch = T.library.string.find, T.library.string.format,
  T.library.string.gmatch
local lower, floor = T.library.string.lower, T.library.math.floor
local sub = T.library.string.sub
local error, ipairs, next, rawequal = T.native.error, T.native.ipairs, T.native.next, T.native.rawequal
local rawget, select, setmetatable = T.native.rawget, T.native.select, T.native.setmetatable
local tonumber, tostring, type = T.native.tonumber, T.native.tostring, T.native.type
local env, config, con, put, OP, operate = T.environment, T.config, T.con, T.put, T.OP, T.operate
local request, make_table = T.late("foreign_request"), T.late("foreign_table")
local parse_form = T.late("luafarm.form").parse
local text_argument, is_active = request.text_argument, T.is_active

local OK, DECLINED, DONE = 0, -1, -2
local MAX_BODY = 8192  -- bytes that parsebody takes unless told otherwise, as in Apache
local MAX_FIELDS = 500 -- of a form, files among them, as in Apache

local apache2 = {
  version = "luafarm", OK = OK, DECLINED = DECLINED, DONE = DONE, HTTP_MOVED_TEMPORARILY = 302,
  PROXYREQ_NONE = 0, PROXYREQ_PROXY = 1, PROXYREQ_REVERSE = 2, PROXYREQ_RESPONSE = 3,
  AUTHZ_DENIED = 0, AUTHZ_GRANTED = 1, AUTHZ_NEUTRAL = 2, AUTHZ_GENERAL_ERROR = 3,
  AUTHZ_DENIED_NO_USER = 4,
}
if rawget(env, "apache2") == nil then T.native.rawset(env, "apache2", apache2) end
if type(env.package) == "table" and type(env.package.loaded) == "table" then
  env.package.loaded.apache2 = apache2
end

-- ---- the running request ----------------------------------------------------------------

local front       -- r, as the script has it; nil between requests
local params      -- its parameters, as a plain table
local set         -- fields that the script has set
local tables      -- by field: { what the script sees, its inside }, made when asked for
local custom      -- bodies of error pages, by status
local committed   -- the head was handed to the reply
local written     -- bytes of the body

local part_bytes = config.buffering and config.part_bytes or -1

local function part_of(name)  -- the inside of a table, or nil if nobody asked for it
  return tables[name] and tables[name][2]
end

local function give(name, value)
  local problem = T.set_header(2, name, value)
  if problem then error(problem, 0) end
end

local START = {  -- what a table holds at first
  headers_in = function() return request.headers_in(params) end,
  subprocess_env = function()
    local copy = {}
    for name, value in next, params do copy[name] = value end
    copy.LUAFCGID_VERSION = nil
    return copy
  end,
  headers_out = function() end, err_headers_out = function() end, notes = function() end,
}

local function table_of(name)  -- what the script sees, and its inside
  if not tables[name] then tables[name] = { make_table(name, START[name](), name == "notes") } end
  return tables[name]
end

local function commit()
  if committed then return end
  committed = true
  for _, name in ipairs { "err_headers_out", "headers_out" } do
    local headers = part_of(name)
    if headers then headers.each(give) end
  end
  if set.content_type then give("Content-Type", set.content_type) end
  give("Status", set.status or 200)
end

local function emit(text)
  written = written + #text
  if not committed and written > part_bytes then commit() end
  put(text)
end

local function check(self, name)
  if front == nil or not (rawequal(self, front) and is_active()) then
    error("'" .. name .. "' called on what is not the running request (write r:" .. name .. "(...))", 3)
  end
end

-- ---- methods ------------------------------------------------------------------------------

local methods = {}

function methods.puts(self, ...)
  check(self, "puts")
  for index = 1, select("#", ...) do emit(text_argument(select(index, ...), index, "puts")) end
end

function methods.write(self, text)
  check(self, "write")
  text = text_argument(text, 1, "write")
  emit(text)
  return #text
end

function methods.flush(self)
  check(self, "flush")
  commit()
  T.flush()
  return true
end

-- Puts a file below the roots and returns its bytes; false if there is none.
function methods.sendfile(self, path)
  check(self, "sendfile")
  path = text_argument(path, 1, "sendfile")
  if #path > 4096 or find(path, T.NUL) then return false end
  local found, content = operate(OP.FILE, path)
  if found == T.REFUSED then T.refuse("sendfile") end
  if not found then return false end
  emit(content)
  return #content
end

-- The two tables of a form: name to first value, name to array of all.
local function collector()
  local simple, multi = {}, {}
  return simple, multi, function(name, value)
    if multi[name] == nil then simple[name], multi[name] = value, { value }
    else multi[name][#multi[name] + 1] = value end
  end
end

function methods.parseargs(self)
  check(self, "parseargs")
  local simple, multi, add = collector()
  for piece in gmatch(params.QUERY_STRING or "", "[^&]+") do
    local at = find(piece, "=", 1, true)
    if at then add(T.urldecode(sub(piece, 1, at - 1)), T.urldecode(sub(piece, at + 1)))
    else add(T.urldecode(piece), "1") end  -- as in Apache
  end
  return simple, multi
end

local function body_of(max)  -- the body, or nil if it is longer
  local length = tonumber(params.CONTENT_LENGTH)
  if length and length > max then return nil end
  local text = con:gets() or ""
  return #text <= max and text or nil
end

-- Empty tables for a body that is no form, or longer than max.
function methods.parsebody(self, max)
  check(self, "parsebody")
  max = max == nil and MAX_BODY or tonumber(max)
  if not (max and max >= 0) then error("bad argument #1 to 'parsebody' (number expected)", 2) end
  local simple, multi, add = collector()
  if T.is_read() then return simple, multi end  -- nothing is left
  local fields, why, list = parse_form(params, con, { bytes = max, fields = MAX_FIELDS,
    files = MAX_FIELDS, field_bytes = max, file_bytes = max })
  if not fields then
    T.log("w", "parsebody: " .. why)
    return simple, multi
  end
  local first, last, step = 1, #list, 1
  if not find(lower(params.CONTENT_TYPE or ""), "^[ \t]*multipart/") then
    first, last, step = last, 1, -1  -- Apache hands out these from the end
  end
  for index = first, last, step do add(list[index].name, list[index].value or list[index].data) end
  return simple, multi
end

-- The body as it is and its bytes; nil if it is longer than max, or for other methods.
function methods.requestbody(self, file, max)
  check(self, "requestbody")
  if file ~= nil and file ~= "" and type(file) ~= "number" then
    error("'requestbody' cannot write files here", 2)
  end
  if params.REQUEST_METHOD ~= "POST" and params.REQUEST_METHOD ~= "PUT" then return nil end
  max = tonumber(max) or 0
  local text = body_of(max > 0 and max or 1 / 0)
  if not text then return nil end
  return text, #text
end

function methods.getcookie(self, name)
  check(self, "getcookie")
  return request.cookie(params, text_argument(name, 1, "getcookie"))
end

-- setcookie{ key=, value=, expires=, secure=, httponly=, path=, domain= }, or the same as
-- arguments of old: key, value, secure, expires.
function methods.setcookie(self, key, value, secure, expires)
  check(self, "setcookie")
  local c = type(key) == "table" and key or { key = key, value = value, secure = secure, expires = expires }
  local line, problem = request.cookie_line(c)
  if problem then error(problem, 2) end
  table_of("err_headers_out")[2].add("Set-Cookie", line)
end

function methods.construct_url(self, path)
  check(self, "construct_url")
  path = text_argument(path, 1, "construct_url")
  local https, port = request.is_https(params), request.port(params)
  local other = port ~= (https and 443 or 80) and format(":%d", port) or ""
  return (https and "https" or "http") .. "://" .. (request.host(params) or "") .. other .. path
end

function methods.custom_response(self, status, text)
  check(self, "custom_response")
  local code = tonumber(status)
  if not code or code < 300 or code > 599 then
    error("bad argument #1 to 'custom_response' (a status from 300 to 599 expected)", 2)
  end
  custom[code] = text_argument(text, 2, "custom_response")
end

function methods.ssl_var_lookup(self, name)
  check(self, "ssl_var_lookup")
  local value = params[text_argument(name, 1, "ssl_var_lookup")]
  return type(value) == "string" and value or nil
end

function methods.get_server_name_for_url(self)
  check(self, "get_server_name_for_url")
  return params.SERVER_NAME
end

function methods.set_keepalive(self)  -- the web server's affair
  check(self, "set_keepalive")
  return true
end

local LEVELS = { debug = "d", info = "i", notice = "i", warn = "w", err = "e", crit = "e",
  alert = "e", emerg = "e" }
for level = 1, 8 do LEVELS["trace" .. level] = "d" end
for name, letter in next, LEVELS do
  methods[name] = function(self, text)
    check(self, name)
    T.log(letter, text_argument(text, 1, name))
  end
end

-- Files are not written here: these fail as they do in Apache where they must not.
for _, name in ipairs { "mkdir", "mkrdir", "rmdir", "touch" } do
  methods[name] = function(self)
    check(self, name)
    return false
  end
end

for name, f in next, request.plain do
  methods[name] = function(self, ...)
    if front ~= nil and rawequal(self, front) then return f(...) end
    return f(self, ...)  -- Apache's documentation calls some of them with a dot
  end
end

local LATER = " needs a store that all states share, which luafarm does not have yet"
local NEVER = " needs Apache itself, which luafarm is not: see docs/lua-api.md"
for why, names in next, {
  [LATER] = "ivm_get ivm_set",
  [NEVER] = "activeconfig add_input_filter add_output_filter addoutputfilter config dbacquire"
    .. " expr get_direntries htpassword make_etag regex runtime_dir_relative scoreboard_process"
    .. " scoreboard_worker send_interim_response server_info set_context_info set_document_root stat"
    .. " wsclose wspeek wsping wsread wsupgrade wswrite",
} do
  for name in gmatch(names, "%S+") do
    methods[name] = function() error("'" .. name .. "'" .. why, 2) end
  end
end

-- ---- the object ---------------------------------------------------------------------------

local fields = request.fields

for name in next, START do
  methods[name .. "_table"] = function(self)
    check(self, name .. "_table")
    return table_of(name)[2].copy()
  end
end

local WRITABLE = { ap_auth_type = "string", args = "string", content_type = "string",
  filename = "string", handler = "string", proxyreq = "number", status = "number", uri = "string",
  user = "string" }

local function read(self, name)
  local method = methods[name]
  if method then return method end
  if front == nil or not rawequal(self, front) then
    error("'" .. T.tostring(name) .. "' read from a request that is over", 2)
  end
  local value = set[name]
  if value ~= nil then return value end
  if START[name] then return table_of(name)[1] end
  if name == "status" then return 200 end
  local field = fields[name]
  if type(field) == "string" then return params[field] end
  return field and field(params)
end

local function write(self, name, value)
  check(self, "set")
  local kind = WRITABLE[name]
  if not kind then
    error("Property [" .. T.tostring(name) .. "] may not be set on a request_rec", 2)
  end
  if kind == "number" then
    local number = tonumber(value)
    if not number then
      error("'" .. name .. "' must be a number, not a " .. type(value) .. " value", 2)
    end
    if name == "status" and not (number >= 200 and number <= 599 and number % 1 == 0) then
      error("'" .. T.tostring(value) .. "' is no status of a reply (200 to 599)", 2)
    end
    value = floor(number)  -- an integer where the dialect has them
  elseif value ~= nil then
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" then
      error("'" .. name .. "' must be a string, not a " .. type(value) .. " value", 2)
    end
  end
  set[name] = value
end

-- ---- serving ------------------------------------------------------------------------------

local PAGE = "<!DOCTYPE html>\n<title>%d</title>\n<h1>Error %d</h1>\n"

-- A status that handle returned: what was put goes, as do the headers but err_headers_out and
-- where a redirection leads.
local function answer(status)
  if committed then return T.log("w", format("status %d ignored: the reply has begun", status)) end
  T.reset_body()
  committed = true
  local errors, headers = part_of("err_headers_out"), part_of("headers_out")
  if errors then errors.each(give) end
  local target = headers and (status < 400) and headers.get("location")
  if target and not (errors and errors.get("location")) then give("Location", target) end
  give("Status", status)
  give("Content-Type", "text/html; charset=iso-8859-1")
  if status ~= 304 then put(custom[status] or format(PAGE, status, status)) end
end

local function finish(result)
  if type(result) ~= "number" or result == OK or result == DONE then return commit() end
  if result == DECLINED then return answer(404) end
  if result >= 300 and result <= 599 and result % 1 == 0 then return answer(floor(result)) end
  if result >= 200 and result <= 299 and result % 1 == 0 then
    if not set.status then set.status = floor(result) end
    return commit()
  end
  T.log("e", "handle(r) returned " .. tostring(result) .. ", which is no status")
  answer(500)
end

local function run(blob)
  local handle = rawget(env, "handle")
  if type(handle) ~= "function" then error("handle() function not found", 0) end
  params = T.whole(blob)
  if params.REQUEST_METHOD == "HEAD" then return end  -- Apache does not run it either
  set, tables, custom, committed, written = {}, {}, {}, false, 0
  set.basic_auth_pw = params.HTTP_AUTHORIZATION and request.password(params)
  front = setmetatable({}, { __index = read, __newindex = write, __metatable = false,
    __tostring = function() return "request_rec" end })
  finish(handle(front))
  front, params, tables, set, custom = nil, nil, nil, nil, nil
end

T.before_exit[#T.before_exit + 1] = function()
  if params then commit() end
  params = nil
end

return { run = run }
