-- `os.date` of Lua 5.2 with the conversions of POSIX: distributions build them in, lupa does
-- not. They become those that there are, as in the locale "C". The others, which know them, come
-- here with what is an error, for its words. A stub (late.lua) or a function in its place calls
-- it: levels count that.
local T = ...
local date, now = T.library.os.date, T.library.os.time
local tonumber, type, tostring = T.native.tonumber, T.native.type, T.native.tostring
local find, format, gsub, match, sub = T.library.string.find, T.library.string.format,
  T.library.string.gsub, T.library.string.match, T.library.string.sub
local floor, argument, expected = T.library.math.floor, T.argument, T.expected

local NATIVE = "[aAbBcdHIjmMpSUwWxXyYz%%]"
local MODIFIED = { E = "[cCxXyY]", O = "[deHImMSuUVwWy]" }  -- which in this locale changes nothing
local SAME = { D = "%m/%d/%y", F = "%Y-%m-%d", h = "%b", n = "\n", r = "%I:%M:%S %p",
  R = "%H:%M", t = "\t", T = "%H:%M:%S" }

-- With which weekday a year ends, as a number of days; ISO 8601 gives 53 weeks to some.
local function last_day(year)
  return (year + floor(year / 4) - floor(year / 100) + floor(year / 400)) % 7
end

local function iso_weeks(year)
  return (last_day(year) == 4 or last_day(year - 1) == 3) and 53 or 52
end

local function iso_week(fields)
  local year = fields.year
  local week = floor((fields.yday - (fields.wday + 5) % 7 + 9) / 7)
  if week < 1 then return year - 1, iso_weeks(year - 1) end
  if week > iso_weeks(year) then return year + 1, 1 end
  return year, week
end

local standard, summer = match(T.config.zones, "^(.*)\t(.*)$")

local computed = {}
function computed.C(fields) return format("%02d", floor(fields.year / 100)) end
function computed.e(fields) return format("%2d", fields.day) end
function computed.g(fields) return format("%02d", iso_week(fields) % 100) end
function computed.G(fields) return format("%d", (iso_week(fields))) end
function computed.u(fields) return format("%d", (fields.wday + 5) % 7 + 1) end
function computed.V(fields)
  local _, week = iso_week(fields)
  return format("%02d", week)
end
function computed.Z(fields, is_utc)
  if is_utc then return "GMT" end
  return fields.isdst and summer or standard
end

local dates = {}

function dates.date(template, time)
  if type(template) == "number" then template = tostring(template) end
  if template == nil then template = "%c" end
  if type(template) ~= "string" then expected(1, "os.date", "string", template, false, 1) end
  if time == nil then time = now() end  -- one for all conversions
  if not tonumber(time) then expected(2, "os.date", "number", time, false, 1) end
  if T.is51 then return date(template, time) end  -- where any conversion will do
  local is_utc = find(template, "^!") ~= nil
  local fields, odd  -- as `*t` gives them; what begins with a conversion that there is not
  local translated = gsub(template, "()%%([EO]?.?)", function(at, conversion)
    local modifier, letter = match(conversion, "^([EO])(.)$")
    if not modifier then letter = conversion
    elseif not find(letter, MODIFIED[modifier]) then letter = "" end
    if SAME[letter] then return SAME[letter] end
    if find(letter, NATIVE) then return "%" .. letter end
    if not computed[letter] then
      odd = odd or sub(template, at)
      return nil
    end
    fields = fields or date(is_utc and "!*t" or "*t", time)
    return fields and computed[letter](fields, is_utc)
  end)
  if odd then argument(1, "os.date", "invalid conversion specifier '" .. odd .. "'", 1) end
  return date(translated, time)
end

return dates
