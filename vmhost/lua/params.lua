-- Request parameters: FastCGI name-value pairs, and urlencoded text.
local T = ...
local byte, char, find, gmatch, gsub, sub = T.library.string.byte, T.library.string.char,
  T.library.string.find, T.library.string.gmatch, T.library.string.gsub, T.library.string.sub
local format, tonumber, type = T.library.string.format, T.native.tonumber, T.native.type

local new_table = T.new_table

local function long(blob, at)  -- a length of four bytes, FastCGI 1.0, 3.4
  local a, b, c, d = byte(blob, at, at + 3)
  if not d then return nil end
  return (a % 128) * 16777216 + b * 65536 + c * 256 + d
end

-- Return the environment of a request from its name-value pairs; what is cut off at the
-- end counts as empty.
function T.decode_params(blob)
  local env = new_table and new_table(0, 40) or {}
  local at, last = 1, #blob
  while at <= last do
    local name, value = byte(blob, at, at + 1)
    at = at + 2
    if name > 127 then
      name = long(blob, at - 2)
      at = at + 3
      value = byte(blob, at - 1)
    end
    if not (name and value) then break end
    if value > 127 then
      value = long(blob, at - 1)
      if not value then break end
      at = at + 3
    end
    local middle = at + name
    env[sub(blob, at, middle - 1)] = sub(blob, middle, middle + value - 1)
    at = middle + value
  end
  env.LUAFCGID_VERSION = 1
  return env
end

local function unhex(digits) return char(tonumber(digits, 16)) end

function T.urldecode(text)
  if find(text, "+", 1, true) then text = gsub(text, "+", " ") end
  if find(text, "%", 1, true) then text = gsub(text, "%%(%x%x)", unhex) end
  return text
end

local function hex(c) return format("%%%02X", byte(c)) end

function T.urlencode(text)
  text = gsub(text, "[^%w%-._~ ]", hex)
  return (gsub(text, " ", "+"))
end

-- Iterate over the decoded names and values of urlencoded text, with one string each.
function T.pairs_of(text)
  local next_piece = gmatch(text, "[^&;]+")
  return function()
    local piece = next_piece()
    if not piece then return nil end
    local at = find(piece, "=", 1, true)
    if not at then return T.urldecode(piece), "" end
    return T.urldecode(sub(piece, 1, at - 1)), T.urldecode(sub(piece, at + 1))
  end
end
