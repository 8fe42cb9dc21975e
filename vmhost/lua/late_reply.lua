-- Cookies, dates and the usual words of a status: what not every reply has.
local T = ...
local find, sub = T.library.string.find, T.library.string.sub
local date, floor = T.library.os.date, T.library.math.floor
local tonumber = T.native.tonumber
local string_of, quoted, NAME = T.string_of, T.quoted, T.HEADER_NAME

local reply = {}

reply.reasons = {
  [200] = "OK", [201] = "Created", [202] = "Accepted", [203] = "Non-Authoritative Information",
  [204] = "No Content", [205] = "Reset Content", [206] = "Partial Content",
  [207] = "Multi-Status", [300] = "Multiple Choices", [301] = "Moved Permanently",
  [302] = "Found", [303] = "See Other", [304] = "Not Modified", [307] = "Temporary Redirect",
  [308] = "Permanent Redirect", [400] = "Bad Request", [401] = "Unauthorized",
  [402] = "Payment Required", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [406] = "Not Acceptable",
  [407] = "Proxy Authentication Required", [408] = "Request Timeout", [409] = "Conflict",
  [410] = "Gone", [411] = "Length Required", [412] = "Precondition Failed",
  [413] = "Content Too Large", [414] = "URI Too Long", [415] = "Unsupported Media Type",
  [416] = "Range Not Satisfiable", [417] = "Expectation Failed", [418] = "I'm a teapot",
  [421] = "Misdirected Request", [422] = "Unprocessable Content", [423] = "Locked",
  [424] = "Failed Dependency", [425] = "Too Early", [426] = "Upgrade Required",
  [428] = "Precondition Required", [429] = "Too Many Requests",
  [431] = "Request Header Fields Too Large", [451] = "Unavailable For Legal Reasons",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout",
  [505] = "HTTP Version Not Supported", [507] = "Insufficient Storage",
  [511] = "Network Authentication Required",
}

local function attribute(label, value)
  if value == nil then return "" end
  local text, problem = string_of(value, "a cookie's " .. label)
  if problem then return nil, problem end
  if find(text, "[%c;]") then
    return nil, "a cookie's " .. label .. " must not contain ';' or control characters"
  end
  return "; " .. label .. "=" .. text
end

-- expires: seconds since 1970, or nil, as path and domain.
function reply.set_cookie(name, value, expires, path, domain)
  local problem
  name, problem = string_of(name, "a cookie's name")
  if problem then return problem end
  if not find(name, NAME) then return quoted(name) .. " is no cookie name" end
  value, problem = attribute("value", value == nil and "" or value)
  if problem then return problem end
  local at, where
  at, problem = attribute("Path", path)
  if problem then return problem end
  where, problem = attribute("Domain", domain)
  if problem then return problem end
  local when = ""
  if expires ~= nil then
    local seconds = tonumber(expires)
    if not (seconds and seconds > -1e11 and seconds < 1e11) then
      return "a cookie's expiry must be a number of seconds since 1970"
    end
    when = "; Expires=" .. reply.http_date(seconds)
  end
  return T.set_header(2, "Set-Cookie", name .. sub(value, 8) .. when .. at .. where)
end

local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
  "Nov", "Dec" }

-- RFC 9110, 5.6.7, whatever the locale.
function reply.http_date(seconds)
  local t = date("!*t", floor(seconds))
  return T.fill("%s, %02d %s %04d %02d:%02d:%02d GMT", DAYS[t.wday], t.day,
    MONTHS[t.month], t.year, t.hour, t.min, t.sec)
end

return reply
