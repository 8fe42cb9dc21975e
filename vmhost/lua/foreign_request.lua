-- What mod_lua's request object tells of a request, and its functions that touch no reply.
--
-- Returns: fields (function(params) or a parameter's name, by field), methods (called with r),
-- plain (called with or without r), and what others need of the same.
local T = ...
local byte, find, format, gmatch, gsub = T.library.string.byte, T.library.string.find,
  T.library.string.format, T.library.string.gmatch, T.library.string.gsub
local concat = T.library.table.concat
local lower, match, sub, upper = T.library.string.lower, T.library.string.match,
  T.library.string.sub, T.library.string.upper
local floor, time = T.library.math.floor, T.library.os.time
local error, next, tonumber, tostring, type = T.native.error, T.native.next, T.native.tonumber,
  T.native.tostring, T.native.type
local config, operate, compute, OP, REFUSED = T.config, T.operate, T.compute, T.OP, T.REFUSED
local replaced, urldecode = T.replaced, T.urldecode
local md5, base64, crypto = T.late("md5"), T.late("base64"), T.late("luafarm.crypto")

-- The string of argument number index of a function; a number will do.
local function text_argument(value, index, name, level)
  if type(value) == "number" then return tostring(value) end
  if type(value) ~= "string" then
    error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got "
      .. (value == nil and "no value" or type(value)) .. ")", (level or 2) + 1)
  end
  return value
end

-- ---- fields -----------------------------------------------------------------------------

local function integer(text) return floor(tonumber(text) or 0) end

local function is_https(p)
  return lower(p.HTTPS or "") == "on" or p.HTTPS == "1" or lower(p.REQUEST_SCHEME or "") == "https"
end

local function host(p)
  local text = p.HTTP_HOST or ""
  return match(text, "^%[[^%]]*%]") or match(text, "^[^:]+") or p.SERVER_NAME
end

local function port(p)
  local known = tonumber(p.SERVER_PORT)
  return known and floor(known) or (is_https(p) and 443 or 80)
end

-- Not a field: that of an object is read in a metamethod, where Lua 5.1 cannot ask the host.
local function password(p)
  local code = match(p.HTTP_AUTHORIZATION or "", "^[Bb][Aa][Ss][Ii][Cc] +([%w+/=]+)$")
  local pair = code and base64.decode(code)
  return pair and match(pair, "^[^:]*:(.*)$") or nil
end

local fields = {
  allowoverrides = function() return "" end,
  ap_auth_type = "AUTH_TYPE",
  args = function(p) return p.QUERY_STRING ~= "" and p.QUERY_STRING or nil end,
  assbackwards = function() return false end,
  auth_name = function() return nil end,
  banner = "SERVER_SOFTWARE",
  canonical_filename = "SCRIPT_FILENAME",
  context_document_root = function(p) return p.CONTEXT_DOCUMENT_ROOT or p.DOCUMENT_ROOT end,
  context_prefix = function(p) return p.CONTEXT_PREFIX or "" end,
  document_root = "DOCUMENT_ROOT",
  filename = "SCRIPT_FILENAME",
  handler = function() return "lua-script" end,
  hostname = host,
  is_https = is_https,
  is_initial_req = function() return true end,
  limit_req_body = function() return 0 end,
  log_id = "UNIQUE_ID",
  method = "REQUEST_METHOD",
  options = function() return "" end,
  path_info = function(p) return p.PATH_INFO or "" end,
  port = port,
  protocol = "SERVER_PROTOCOL",
  proxyreq = function() return "PROXYREQ_NONE" end,
  range = "HTTP_RANGE",
  remaining = function(p) return integer(p.CONTENT_LENGTH) end,
  server_built = function() return "" end,
  server_name = "SERVER_NAME",
  some_auth_required = function(p) return (p.AUTH_TYPE or "") ~= "" end,
  started = function() return floor(config.born) end,
  the_request = function(p)
    return (p.REQUEST_METHOD or "") .. " " .. (p.REQUEST_URI or "") .. " " .. (p.SERVER_PROTOCOL or "")
  end,
  unparsed_uri = "REQUEST_URI",
  uri = function(p)
    return p.SCRIPT_NAME and p.SCRIPT_NAME .. (p.PATH_INFO or "") or match(p.REQUEST_URI or "", "^[^?]*")
  end,
  user = "REMOTE_USER",
  useragent_ip = "REMOTE_ADDR",
}

-- Header lines of the request as a table: HTTP_USER_AGENT is User-Agent.
local function headers_in(p)
  local headers = {}
  local function add(name, value)
    name = gsub(lower(name), "_", "-")
    headers[gsub(name, "%f[%w]%l", upper)] = value
  end
  for name, value in next, p do
    if type(name) == "string" and sub(name, 1, 5) == "HTTP_" then add(sub(name, 6), value) end
  end
  if (p.CONTENT_TYPE or "") ~= "" then add("CONTENT_TYPE", p.CONTENT_TYPE) end
  if (p.CONTENT_LENGTH or "") ~= "" then add("CONTENT_LENGTH", p.CONTENT_LENGTH) end
  return headers
end

local function percent(c) return format("%%%02x", byte(c)) end
local function escaped(text)
  return (replaced(replaced(text, "[^%w%-%._* ]", percent), " ", "+"))
end

-- ---- cookies ----------------------------------------------------------------------------

-- The value of one cookie of the request, as it was sent; nil if there is none.
local function cookie(p, name)
  for piece in gmatch(p.HTTP_COOKIE or "", "[^;]+") do
    local from = find(piece, "[^ \t]")
    local at = from and find(piece, "=", from, true)
    if at and sub(piece, from, at - 1) == name then return sub(piece, at + 1) end
  end
  return nil
end

-- The value of a Set-Cookie line, in Apache's form, which escapes the cookie's own value; nil
-- and what is wrong.
local function cookie_line(c)
  local out = {}
  local function add(label, value, prefix)
    if value == nil then return nil end
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" then
      return "a cookie's " .. label .. " must be a string, not a " .. type(value) .. " value"
    end
    if label == "value" then value = escaped(value) end
    if find(value, "[%c;]") then
      return "a cookie's " .. label .. " must not contain ';' or control characters"
    end
    if value ~= "" or label == "value" then out[#out + 1] = prefix .. value end
  end
  local name = c.key
  if type(name) ~= "string" or name == "" or find(name, "[^%w!#$%%&'*+.^_`|~-]") then
    return nil, "a cookie's key must be a name"
  end
  local problem = add("value", c.value == nil and "" or c.value, name .. "=")
  if c.secure then out[#out + 1] = "Secure" end
  local when = tonumber(c.expires)
  if when and when > 0 then
    if when >= 1e11 then return nil, "a cookie's expiry must be a number of seconds since 1970" end
    out[#out + 1] = "Expires=" .. T.late("reply").http_date(when)
  end
  if c.httponly then out[#out + 1] = "HttpOnly" end
  problem = problem or add("domain", c.domain, "Domain=") or add("path", c.path, "Path=")
  if problem then return nil, problem end
  return concat(out, "; ") .. ";"
end

-- ---- functions --------------------------------------------------------------------------

local HTML = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
local LOG = { ["\b"] = "\\b", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\v"] = "\\v",
  ['"'] = '\\"', ["\\"] = "\\\\" }

local plain = {}

-- Each below is called with a text; `plain` functions may be called with r before it.
local function of_text(name, f)
  plain[name] = function(text, ...) return f(text_argument(text, 1, name), ...) end
end

of_text("escape", escaped)
of_text("unescape", function(text) return urldecode(text) end)
of_text("escape_html", function(text) return (replaced(text, '[&<>"]', HTML)) end)
of_text("os_escape_path", function(text, partial)
  local out = replaced(text, "[^%w$%-_.+!*'(),:@&=/~]", percent)
  if not partial and find(out, "^[^/]*:") then out = "./" .. out end
  return out
end)
of_text("escape_logitem", function(text)
  return (replaced(text, '[%c"\\\127-\255]', function(c) return LOG[c] or format("\\x%02x", byte(c)) end))
end)
of_text("base64_encode", function(text) return base64.encode(text) end)
of_text("base64_decode", function(text) return base64.decode(text) or "" end)
of_text("md5", function(text) return md5.sumhexa(text) end)
of_text("sha1", function(text) return crypto.sha1(text) end)

-- Whether text matches a pattern of * and ? as a whole. At a mismatch only the last * is
-- tried again, as that is enough: no more steps than bytes of both, multiplied.
function plain.strcmp_match(text, pattern)
  text, pattern = text_argument(text, 1, "strcmp_match"), text_argument(pattern, 2, "strcmp_match")
  local at, place, star, from = 1, 1, nil, nil
  while at <= #text do
    local c = byte(pattern, place)
    if c == 42 then
      star, from = place, at
      place = place + 1
    elseif c and (c == 63 or c == byte(text, at)) then
      at, place = at + 1, place + 1
    elseif star then
      from = from + 1
      at, place = from, star + 1
    else
      return false
    end
  end
  return not find(pattern, "[^*]", place)
end

-- Microseconds since 1970.
function plain.clock()
  local now = compute(OP.NOW, 0)
  if now == REFUSED then now = time() end
  return floor(now * 1e6)
end

local MAX_SLEEP = 3600e6  -- microseconds

function plain.usleep(microseconds)
  local wanted = tonumber(microseconds)
  if not wanted or not (wanted >= 0 and wanted <= MAX_SLEEP) then
    error("bad argument #1 to 'usleep' (0 to 3600000000 microseconds expected)", 2)
  end
  if operate(OP.SLEEP, wanted / 1e6) == REFUSED then T.refuse("usleep") end
end

local MONTHS = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8,
  sep = 9, oct = 10, nov = 11, dec = 12 }

local function days_before(year, month)  -- from 1970-01-01 to the first of that month
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + floor(year / 4) - floor(year / 100) + floor(year / 400)
    + floor((153 * month - 457) / 5) - 719468
end

-- Seconds since 1970 of a date of RFC 1123, RFC 850 or asctime; 0 if it is none of them.
function plain.date_parse_rfc(text)
  text = text_argument(text, 1, "date_parse_rfc")
  local day, name, year, hours, minutes, seconds, zone =
    match(text, "(%d%d?)[ %-](%a%a%a)[ %-](%d%d%d?%d?) (%d%d?):(%d%d):?(%d*)%s*(%S*)")
  if not day then
    name, day, hours, minutes, seconds, year = match(text, "(%a%a%a) +(%d%d?) (%d%d):(%d%d):(%d%d) (%d%d%d%d)")
    zone = "GMT"
  end
  local month = name and MONTHS[lower(name)]
  if not month then return 0 end
  year, day = tonumber(year), tonumber(day)
  hours, minutes, seconds = tonumber(hours), tonumber(minutes), tonumber(seconds) or 0
  if year < 70 then year = year + 2000 elseif year < 100 then year = year + 1900 end
  if day < 1 or day > 31 or hours > 23 or minutes > 59 or seconds > 60 or year < 1970 then return 0 end
  local offset, sign, h, m = 0, match(zone, "^([+-])(%d%d)(%d%d)$")
  if sign then offset = (tonumber(h) * 60 + tonumber(m)) * (sign == "+" and 60 or -60) end
  return (days_before(year, month) + day - 1) * 86400 + hours * 3600 + minutes * 60 + seconds - offset
end

function plain.exists_config_define() return false end
function plain.module_info() return nil end
function plain.loaded_modules() return {} end
function plain.mpm_query() return nil end
function plain.state_query() return 0 end

return { fields = fields, plain = plain, headers_in = headers_in, text_argument = text_argument,
  cookie = cookie, cookie_line = cookie_line, host = host, port = port, is_https = is_https, password = password }
