-- The functions of OpenResty's `ngx` that touch no request: encoding, digests, time, constants.
--
-- Returns them as `members`; `joined`, which makes text of what is put;
-- variable(params, name); and module `json`.
local T = ...
local find, gmatch, gsub, sub = T.library.string.find, T.library.string.gmatch,
  T.library.string.gsub, T.library.string.sub
local concat, sort, date, time = T.library.table.concat, T.library.table.sort, T.library.os.date,
  T.library.os.time
local error, next, tonumber, tostring, type = T.native.error, T.native.next, T.native.tonumber,
  T.native.tostring, T.native.type
local compute, operate, OP, REFUSED = T.compute, T.operate, T.OP, T.REFUSED
local urldecode, floor, rawget = T.urldecode, T.library.math.floor, T.native.rawget
local md5, base64, json, crypto = T.late("md5"), T.late("base64"), T.late("json"), T.late("luafarm.crypto")
local request = T.late("foreign_request")
local http_date_of, match, upper = request.plain.date_parse_rfc, T.library.string.match,
  T.library.string.upper

local MAX_ARGS = 100  -- as in OpenResty

local ngx = {
  OK = 0, ERROR = -1, AGAIN = -2, DONE = -4, DECLINED = -5, null = json.null,
  HTTP_GET = 2, HTTP_HEAD = 4, HTTP_POST = 8, HTTP_PUT = 16, HTTP_DELETE = 32,
  HTTP_OPTIONS = 512, HTTP_PATCH = 16384,
  STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,
  config = { subsystem = "http", prefix = function() return "" end, ngx_lua_version = 10023,
    nginx_version = 1022001, debug = false },
}

for name, status in next, {
  OK = 200, CREATED = 201, ACCEPTED = 202, NO_CONTENT = 204, PARTIAL_CONTENT = 206,
  SPECIAL_RESPONSE = 300, MOVED_PERMANENTLY = 301, MOVED_TEMPORARILY = 302, SEE_OTHER = 303,
  NOT_MODIFIED = 304, TEMPORARY_REDIRECT = 307, PERMANENT_REDIRECT = 308, BAD_REQUEST = 400,
  UNAUTHORIZED = 401, PAYMENT_REQUIRED = 402, FORBIDDEN = 403, NOT_FOUND = 404, NOT_ALLOWED = 405,
  NOT_ACCEPTABLE = 406, REQUEST_TIMEOUT = 408, CONFLICT = 409, GONE = 410, UPGRADE_REQUIRED = 426,
  TOO_MANY_REQUESTS = 429, CLOSE = 444, ILLEGAL = 451, INTERNAL_SERVER_ERROR = 500,
  METHOD_NOT_IMPLEMENTED = 501, BAD_GATEWAY = 502, SERVICE_UNAVAILABLE = 503,
  GATEWAY_TIMEOUT = 504, VERSION_NOT_SUPPORTED = 505, INSUFFICIENT_STORAGE = 507,
} do ngx["HTTP_" .. name] = status end

local function text_of(value, name)  -- nil counts as empty, as there
  if type(value) == "string" then return value end
  if value == nil then return "" end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  error("bad argument #1 to '" .. name .. "' (string expected, got " .. type(value) .. ")", 3)
end

function ngx.escape_uri(text) return (gsub(T.urlencode(text_of(text, "escape_uri")), "+", "%%20")) end
function ngx.unescape_uri(text) return urldecode(text_of(text, "unescape_uri")) end
function ngx.md5(text) return md5.sumhexa(text_of(text, "md5")) end
function ngx.md5_bin(text) return md5.sum(text_of(text, "md5_bin")) end
function ngx.sha1_bin(text) return crypto.sha1(text_of(text, "sha1_bin"), true) end
function ngx.hmac_sha1(key, text)
  return crypto.hmac("sha1", text_of(key, "hmac_sha1"), text_of(text, "hmac_sha1"), true)
end

function ngx.encode_base64(text, no_padding)
  local code = base64.encode(text_of(text, "encode_base64"))
  return no_padding and (gsub(code, "=+$", "")) or code
end

function ngx.decode_base64(text)
  if type(text) ~= "string" then error("string argument only", 2) end
  return (base64.decode(text))
end

local QUOTED = { ["\0"] = "\\0", ["\n"] = "\\n", ["\r"] = "\\r", ["\\"] = "\\\\", ["'"] = "\\'",
  ['"'] = '\\"', ["\26"] = "\\Z" }

function ngx.quote_sql_str(text)
  return "'" .. gsub(text_of(text, "quote_sql_str"), "[" .. T.NUL .. "\n\r\\'\"\26]", QUOTED) .. "'"
end

local function encode_pair(out, name, value)
  local key = ngx.escape_uri(name)
  if value == true then out[#out + 1] = key
  elseif type(value) == "table" then
    for index = 1, #value do encode_pair(out, name, value[index]) end
  elseif type(value) == "string" or type(value) == "number" then
    out[#out + 1] = key .. "=" .. ngx.escape_uri(value)
  elseif value ~= false and value ~= nil then
    error("attempt to use " .. type(value) .. " as query arg value", 3)
  end
end

-- In the order of their names.
function ngx.encode_args(values)
  if type(values) ~= "table" then
    error("bad argument #1 to 'encode_args' (table expected, got " .. type(values) .. ")", 2)
  end
  local names, out = {}, {}
  for name in next, T.whole(values) do
    if type(name) ~= "string" then error("attempt to use a non-string key in the \"args\" option table", 2) end
    names[#names + 1] = name
  end
  sort(names)
  for index = 1, #names do encode_pair(out, names[index], rawget(values, names[index])) end
  return concat(out, "&")
end

-- Of equal names the values are an array; one without "=" is true; "truncated" over max.
function ngx.decode_args(text, max)
  max = max == nil and MAX_ARGS or tonumber(max) or MAX_ARGS
  local values, count = {}, 0
  for piece in gmatch(text_of(text, "decode_args"), "[^&]+") do
    count = count + 1
    if max > 0 and count > max then return values, "truncated" end
    if count % 100 == 0 then T.look() end
    local at = find(piece, "=", 1, true)
    local name = urldecode(at and sub(piece, 1, at - 1) or piece)
    local value = not at or urldecode(sub(piece, at + 1))
    if name ~= "" then
      local known = values[name]
      if known == nil then values[name] = value
      elseif type(known) == "table" then known[#known + 1] = value
      else values[name] = { known, value } end
    end
  end
  return values
end

-- ---- time -------------------------------------------------------------------------------

function ngx.now()
  local now = compute(OP.NOW, 0)
  return now == REFUSED and time() or floor(now * 1000) / 1000
end
function ngx.time() return time() end
function ngx.update_time() end
function ngx.today() return date("%Y-%m-%d") end
function ngx.localtime() return date("%Y-%m-%d %H:%M:%S") end
function ngx.utctime() return date("!%Y-%m-%d %H:%M:%S") end

local function seconds_of(value, name)
  local seconds = tonumber(value)
  if not (seconds and seconds > -1e11 and seconds < 1e11) then
    error("bad argument #1 to '" .. name .. "' (seconds since 1970 expected)", 3)
  end
  return floor(seconds)
end

function ngx.http_time(seconds) return T.late("reply").http_date(seconds_of(seconds, "http_time")) end
function ngx.cookie_time(seconds)
  return (gsub(T.late("reply").http_date(seconds_of(seconds, "cookie_time")), "(%d) (%a+) %d?%d?(%d%d) ", "%1-%2-%3 "))
end
function ngx.parse_http_time(text)
  local seconds = http_date_of(text_of(text, "parse_http_time"))
  return seconds ~= 0 and seconds or nil
end

local MAX_SLEEP = 3600  -- seconds

function ngx.sleep(seconds)
  local wanted = tonumber(seconds)
  if not wanted or not (wanted >= 0 and wanted <= MAX_SLEEP) then
    error("bad argument #1 to 'sleep' (0 to " .. MAX_SLEEP .. " seconds expected)", 2)
  end
  if operate(OP.SLEEP, wanted + 0.0) == REFUSED then T.refuse("sleep") end
end

-- ---- log --------------------------------------------------------------------------------

local LETTERS = { [0] = "e", "e", "e", "e", "e", "w", "i", "i", "d" }
local shown = T.config.trusted and tostring or T.tostring

-- Values as `print` and `log` join them: tables are arrays of pieces.
local function joined(name, depth, ...)
  local out = {}
  for index = 1, T.native.select("#", ...) do
    local value = T.native.select(index, ...)
    if type(value) == "table" and value ~= json.null then
      if depth > 20 then error(name .. ": array nested too deeply", 3) end
      for place = 1, #value do out[#out + 1] = joined(name, depth + 1, value[place]) end
    elseif value == json.null then
      out[#out + 1] = "null"
    else
      out[#out + 1] = shown(value)
    end
  end
  return concat(out)
end

function ngx.log(level, ...)
  local letter = LETTERS[level]
  if not letter then error("bad argument #1 to 'log' (log level expected)", 2) end
  T.log(letter, joined("log", 0, ...))
end

-- ---- variables --------------------------------------------------------------------------

local VARIABLES = {
  args = "QUERY_STRING", query_string = "QUERY_STRING", request_uri = "REQUEST_URI",
  document_root = "DOCUMENT_ROOT", request_filename = "SCRIPT_FILENAME",
  request_method = "REQUEST_METHOD", remote_addr = "REMOTE_ADDR", remote_port = "REMOTE_PORT",
  remote_user = "REMOTE_USER", server_addr = "SERVER_ADDR", server_port = "SERVER_PORT",
  server_name = "SERVER_NAME", server_protocol = "SERVER_PROTOCOL", content_type = "CONTENT_TYPE",
  content_length = "CONTENT_LENGTH", https = "HTTPS", request_id = "REQUEST_ID",
  host = request.host, hostname = "SERVER_NAME",
  uri = request.fields.uri, document_uri = request.fields.uri, request = request.fields.the_request,
  scheme = function(p) return request.is_https(p) and "https" or "http" end,
  is_args = function(p) return (p.QUERY_STRING or "") ~= "" and "?" or "" end,
}

-- What ngx.var tells of a request; nil for what it does not.
local function variable(params, name)
  local known = VARIABLES[name]
  if type(known) == "string" then return params[known] end
  if known then return known(params) end
  local prefix, rest = match(name, "^(%l+)_(.+)$")
  if prefix == "http" then return params["HTTP_" .. upper(rest)] end
  if prefix == "arg" then
    local value = ngx.decode_args(params.QUERY_STRING or "", 0)[rest]
    if type(value) == "table" then value = value[1] end
    return value == true and "" or value
  end
  if prefix == "cookie" then return request.cookie(params, rest) end
  return params[name]  -- fastcgi_param of the operator's own
end

-- ---- what there is not ---------------------------------------------------------------------

local function absent(name, why)
  return function() error("'ngx." .. name .. "' " .. why, 2) end
end
local NGINX = "needs nginx itself, which luafarm is not: see docs/lua-api.md"
local function group(prefix, names)
  local t = {}
  for name in gmatch(names, "%S+") do t[name] = absent(prefix .. "." .. name, NGINX) end
  return t
end
ngx.exec = absent("exec", NGINX)
ngx.location = group("location", "capture capture_multi")
ngx.socket = group("socket", "tcp udp stream connect")
ngx.thread = group("thread", "spawn wait kill")
ngx.re = group("re", "match find gmatch sub gsub split")
ngx.shared = {}
ngx.worker = { id = function() return 0 end, count = function() return 1 end,
  pid = function() return 0 end, exiting = function() return false end }
function ngx.get_phase() return "content" end
function ngx.on_abort() return nil, "lua_check_client_abort is off" end

return { members = ngx, json = json, joined = joined, variable = variable }
