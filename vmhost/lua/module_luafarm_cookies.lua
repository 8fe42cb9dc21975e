-- require "luafarm.cookies": cookies of the request, and cookies for the reply. RFC 6265.
--
-- Values may be any bytes: what a cookie cannot hold is written with percent signs, and read
-- back by `parse`. What browsers would drop without a word is an error here.
local T = ...
local byte, char, find, format, gmatch = T.library.string.byte, T.library.string.char,
  T.library.string.find, T.library.string.format, T.library.string.gmatch
local gsub, lower, match, sub = T.library.string.gsub, T.library.string.lower,
  T.library.string.match, T.library.string.sub
local error, next, rawequal = T.native.error, T.native.next, T.native.rawequal
local tonumber, tostring, type = T.native.tonumber, T.native.tostring, T.native.type
local floor, con = T.library.math.floor, T.con

local MAX_COOKIES = 300   -- of a request; browsers keep fewer for one site
local MAX_BYTES = 4096    -- of name and value together, and MAX_PART of an attribute: more
local MAX_PART = 1024     -- is dropped by browsers (RFC 6265bis, 5.6)
local MAX_AGE = 400 * 24 * 3600 * 100  -- a hundred times what browsers keep
local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"        -- of RFC 9110, 5.6.2
local OTHERS = "[^%w!#$&'()*+./:<=>?@[%]^_`{|}~-]" -- what no value may have, and '%'

local function quoted(text) return "'" .. sub(text, 1, 40) .. "'" end

local function encoded(text)
  return (gsub(text, OTHERS, function(c) return format("%%%02X", byte(c)) end))
end

local function decoded(text)
  if not find(text, "%", 1, true) then return text end
  return (gsub(text, "%%(%x%x)", function(digits) return char(tonumber(digits, 16)) end))
end

local cookies = {}

-- Names to values, of env.HTTP_COOKIE. Of equal names the first counts: it is of the longest
-- path. raw: values as they came.
function cookies.parse(env, raw)
  if type(env) ~= "table" or rawequal(env, con) then
    error("bad argument #1 to 'parse' (env expected, got "
      .. (env == nil and "no value" or rawequal(env, con) and "con" or type(env)) .. ")", 2)
  end
  local header, found, left = env.HTTP_COOKIE, {}, MAX_COOKIES
  if type(header) ~= "string" then return found end
  for piece in gmatch(header, "[^;]+") do
    local name, value = match(piece, "^[ \t]*([^= \t]+)[ \t]*=[ \t]*(.*)$")
    if name and found[name] == nil then
      left = left - 1
      if left < 0 then break end
      local last = #value
      while last > 0 and (byte(value, last) == 32 or byte(value, last) == 9) do last = last - 1 end
      value = sub(value, 1, last)
      if not raw then
        if last > 1 and byte(value, 1) == 34 and byte(value, last) == 34 then
          value = sub(value, 2, -2)
        end
        value = decoded(value)
      end
      found[name] = value
    end
  end
  return found
end

-- ---- setting: each function returns a text, or nil and what is wrong -----------------------

local SAMESITE = { strict = "Strict", lax = "Lax", none = "None" }

local function flag(value, name)
  if value == nil or value == false then return "" end
  if value ~= true then return nil, name .. " must be true or false, not a " .. type(value) .. " value" end
  return "; " .. name
end

local function attribute(value, name)
  if value == nil then return "" end
  if type(value) ~= "string" then
    return nil, name .. " must be a string, not a " .. type(value) .. " value"
  end
  if #value > MAX_PART then
    return nil, T.fill("%s of %d bytes; the limit is %d", name, #value, MAX_PART)
  end
  if find(value, "[^\32-\58\60-\126]") then
    return nil, name .. " " .. quoted(value) .. " must not contain ';', controls, or what is not ASCII"
  end
  return "; " .. name .. "=" .. value
end

local function path_attribute(value)
  if type(value) == "string" and sub(value, 1, 1) ~= "/" then
    return nil, "Path " .. quoted(value) .. " must begin with '/'"
  end
  return attribute(value, "Path")
end

local function domain_attribute(value)
  if type(value) == "string" and #value <= MAX_PART and not find(value, "^%.?[%w-]+[%w.-]*$") then
    return nil, "Domain " .. quoted(value) .. " is no name of a host"
  end
  return attribute(value, "Domain")
end

local function samesite(value)
  if value == nil then return "" end
  local known = type(value) == "string" and SAMESITE[lower(value)]
  if not known then
    return nil, "SameSite must be 'Strict', 'Lax' or 'None', not "
      .. (type(value) == "string" and quoted(value) or "a " .. type(value) .. " value")
  end
  return "; SameSite=" .. known
end

local function max_age(value)
  if value == nil then return "" end
  local seconds = tonumber(value)
  if not (seconds and seconds >= -MAX_AGE and seconds <= MAX_AGE) then
    return nil, "Max-Age must be a number of seconds, at most " .. format("%.0f", MAX_AGE)
  end
  return "; Max-Age=" .. format("%.0f", floor(seconds))
end

local LATEST = 253402300799  -- the last second of the year 9999: what has four digits
local function expires(value)
  if value == nil then return "" end
  local seconds = tonumber(value)
  if not (seconds and seconds >= 0 and seconds <= LATEST) then
    return nil, "Expires must be seconds since 1970, 0 to " .. format("%.0f", LATEST)
  end
  return "; Expires=" .. T.late("reply").http_date(seconds)
end

local function secure(value) return flag(value, "Secure") end
local function httponly(value) return flag(value, "HttpOnly") end
local function partitioned(value) return flag(value, "Partitioned") end

-- In the order in which they are sent.
local OPTIONS = { { "expires", expires }, { "max_age", max_age }, { "domain", domain_attribute },
  { "path", path_attribute }, { "secure", secure }, { "httponly", httponly },
  { "samesite", samesite }, { "partitioned", partitioned }, { "raw", function() return "" end } }
local KNOWN = {}
for index = 1, #OPTIONS do KNOWN[OPTIONS[index][1]] = true end

-- What a browser would reject the whole cookie for.
local function conflict(name, given)
  local prefix, lowered = lower(name), type(given.samesite) == "string" and lower(given.samesite)
  if not given.secure then
    if lowered == "none" then return "SameSite=None needs secure = true" end
    if given.partitioned then return "Partitioned needs secure = true" end
    if find(prefix, "^__secure%-") or find(prefix, "^__host%-") then
      return "its name needs secure = true"
    end
  end
  if find(prefix, "^__host%-") and (given.path ~= "/" or given.domain ~= nil) then
    return "its name needs path = '/' and no domain"
  end
end

local function cookie_line(name, value, given)
  if type(name) ~= "string" or not find(name, TOKEN) then
    return nil, (type(name) == "string" and quoted(name) or "a " .. type(name) .. " value")
      .. " is no cookie name"
  end
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" then
    return nil, "the value must be a string, not " .. (value == nil and "nil" or "a " .. type(value) .. " value")
  end
  if given.raw then
    if find(value, "[^%w%%!#$&'()*+./:<=>?@[%]^_`{|}~-]") then
      return nil, "the raw value " .. quoted(value) .. " has characters that no cookie holds"
    end
  elseif #value <= MAX_BYTES then
    value = encoded(value)
  end
  if #name + #value > MAX_BYTES then
    return nil, format("name and value of %d bytes; the limit is %d", #name + #value, MAX_BYTES)
  end
  local line = name .. "=" .. value
  for index = 1, #OPTIONS do
    local key, make = OPTIONS[index][1], OPTIONS[index][2]
    local text, problem = make(given[key])
    if not text then return nil, problem end
    line = line .. text
  end
  local problem = conflict(name, given)
  if problem then return nil, problem end
  return line
end

local function put(request, name, value, options, caller)
  if not rawequal(request, con) then
    error("bad argument #1 to '" .. caller .. "' (con expected, got "
      .. (request == nil and "no value" or type(request)) .. ")", 3)
  end
  T.check_running(caller)
  if options ~= nil and type(options) ~= "table" then
    error("bad argument #4 to '" .. caller .. "' (table expected, got " .. type(options) .. ")", 3)
  end
  local given = {}
  for key, option in next, options and T.whole(options) or {} do
    if not KNOWN[key] then
      error("cookies." .. caller .. ": there is no option " .. quoted(T.tostring(key)), 3)
    end
    given[key] = option
  end
  if caller == "delete" then given.max_age, given.expires = 0, 0 end
  local line, problem = cookie_line(name, value, given)
  if line then problem = T.set_header(2, "Set-Cookie", line) end
  if problem then
    local of = type(name) == "string" and " " .. quoted(name) or ""
    error("cookies." .. caller .. ": cookie" .. of .. ": " .. problem, 3)
  end
end

-- Add a Set-Cookie. options: expires, max_age, domain, path, secure, httponly, samesite,
-- partitioned; raw: the value is sent as it is.
function cookies.set(request, name, value, options) put(request, name, value, options, "set") end

-- Have the browser forget a cookie. options: path and domain as they were set.
function cookies.delete(request, name, options) put(request, name, "", options, "delete") end

return cookies
