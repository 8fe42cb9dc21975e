-- require "luafarm": what the farm offers to scripts besides luafcgid's interface.
local T = ...
local find, sub = T.library.string.find, T.library.string.sub
local concat, select = T.library.table.concat, T.native.select
local error, tonumber, tostring, type = T.native.error, T.native.tonumber, T.native.tostring, T.native.type
local operate, REFUSED, OP, info = T.operate, T.REFUSED, T.OP, T.info
local floor = T.library.math.floor
local time, text = T.library.os.time, T.config.trusted and T.native.tostring or T.tostring

local MAX_SLEEP = 3600  -- seconds
local MAX_PATH = 4096
local MAX_RANDOM = 65536  -- bytes

local function string_argument(value, index, name)
  if type(value) == "number" then return tostring(value) end
  if type(value) ~= "string" then
    error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got "
      .. (value == nil and "no value" or type(value)) .. ")", 3)
  end
  return value
end

local luafarm = {}

function luafarm.sleep(seconds)
  local wanted = tonumber(seconds)
  if not wanted or not (wanted >= 0 and wanted <= MAX_SLEEP) then
    error("bad argument #1 to 'sleep' (0 to " .. MAX_SLEEP .. " seconds expected)", 2)
  end
  if operate(OP.SLEEP, wanted + 0.0) == REFUSED then T.refuse("sleep") end
end

-- Seconds since 1970, with a fraction where Lua can ask the host.
function luafarm.now()
  local now = T.compute(OP.NOW, 0)
  if now == REFUSED then return time() end
  return now
end

-- Random bytes of the kernel, as of luafarm.crypto.
function luafarm.random(n)
  local count = tonumber(n)
  if not (count and count >= 0 and count <= MAX_RANDOM and count == floor(count)) then
    error("bad argument #1 to 'random' (0 to " .. MAX_RANDOM .. " bytes expected)", 2)
  end
  local bytes = operate(OP.RANDOM, floor(count))
  if bytes == REFUSED then T.refuse("random") end
  return bytes
end

-- The bytes of a file under the script roots; nil and a message if there is none.
function luafarm.read(path)
  path = string_argument(path, 1, "read")
  if #path > MAX_PATH or find(path, T.NUL) then
    return nil, T.no_file(sub(path, 1, MAX_PATH), "not a path")
  end
  local found, content = operate(OP.FILE, path)
  if found == REFUSED then T.refuse("read") end
  if found then return content end
  return nil, T.no_file(path, content)
end

-- The next piece of the file that a FastCGI Filter filters; nil at its end.
function luafarm.data(max) return T.read_data(max) end

local LEVELS = { debug = "d", info = "i", notice = "i", warning = "w", warn = "w",
  error = "e", err = "e" }

function luafarm.log(level, ...)
  local letter = LEVELS[level]
  if not letter then
    error("bad argument #1 to 'log' (debug, info, warning or error expected)", 2)
  end
  local parts = {}
  for index = 1, select("#", ...) do parts[index] = text((select(index, ...))) end
  T.log(letter, concat(parts, "\t"))
end

function luafarm.urlencode(value) return T.urlencode(string_argument(value, 1, "urlencode")) end
function luafarm.urldecode(value) return T.urldecode(string_argument(value, 1, "urldecode")) end

local function put_last(values, name, value) values[name] = value end

-- Names to values; of repeated names the last one counts. Empty values are kept. nil and a
-- message over the limits.
function luafarm.parse(value, limits)
  if value == nil then return {} end
  value = string_argument(value, 1, "parse")
  local values, problem = T.parse(value, limits, put_last, "luafarm.parse")
  if problem then return nil, problem end
  return values
end

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#39;" }

function luafarm.escape_html(value)
  value = string_argument(value, 1, "escape_html")
  if not find(value, "[&<>\"']") then return value end
  return T.replaced(value, "[&<>\"']", ENTITIES)
end

local fields = {
  id = function() return info.id end,
  generation = function() return info.generation end,
  requests = function() return info.requests end,
  age = function()  -- in a metamethod, where Lua 5.1 cannot ask the host
    return (T.puc51 and time() or luafarm.now()) - T.config.born
  end,
}
luafarm.state = T.seal(function(_, key)
  local field = fields[key]
  return field and field()
end, "luafarm.state", { id = true, generation = true, requests = true, age = true })

return luafarm
