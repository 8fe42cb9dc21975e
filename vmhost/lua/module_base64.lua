-- require "base64": encode(text), decode(text). RFC 4648, 4.
--
-- LuaJIT asks libcrypto to encode (capture.lua). Elsewhere Python computes it; where Lua
-- cannot yield, and of long texts, the code below does:
-- no bit operations, but a table for each part of a byte; and four groups at a time.
local T = ...
local byte, char, find, gsub, sub = T.library.string.byte, T.library.string.char,
  T.library.string.find, T.library.string.gsub, T.library.string.sub
local concat, floor = T.library.table.concat, T.library.math.floor
local error, tostring, type = T.native.error, T.native.tostring, T.native.type

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local CODE = {}  -- value of six bits to character code
for value = 0, 63 do CODE[value] = byte(ALPHABET, value + 1) end

-- Of a byte: code of its high six bits; its low two bits, high four, low four, high two as
-- parts of a value; code of its low six bits.
local HIGH6, LOW2, HIGH4, LOW4, HIGH2, LOW6 = {}, {}, {}, {}, {}, {}
for value = 0, 255 do
  HIGH6[value], LOW6[value] = CODE[floor(value / 4)], CODE[value % 64]
  LOW2[value], HIGH4[value] = value % 4 * 16, floor(value / 16)
  LOW4[value], HIGH2[value] = value % 16 * 4, floor(value / 64)
end

local function argument(text, name)
  if type(text) == "string" then return text end
  if type(text) == "number" then return tostring(text) end
  error("bad argument #1 to '" .. name .. "' (string expected, got "
    .. (text == nil and "no value" or type(text)) .. ")", 3)
end

local compute, OP, COMPUTE_BYTES = T.compute, T.OP, T.config.compute_bytes
local base64 = {}
local crypto = T.crypto()
local quick = crypto and crypto.base64

function base64.encode(text)
  text = argument(text, "encode")
  if quick then return quick(text) end
  if #text <= COMPUTE_BYTES then
    local code = compute(OP.BASE64_ENCODE, text)
    if code ~= T.REFUSED then return code end
  end
  local length = #text
  local out, n, at = {}, 0, 1
  while at + 11 <= length do
    local a, b, c, d, e, f, g, h, i, j, k, l = byte(text, at, at + 11)
    n = n + 1
    out[n] = char(HIGH6[a], CODE[LOW2[a] + HIGH4[b]], CODE[LOW4[b] + HIGH2[c]], LOW6[c],
      HIGH6[d], CODE[LOW2[d] + HIGH4[e]], CODE[LOW4[e] + HIGH2[f]], LOW6[f],
      HIGH6[g], CODE[LOW2[g] + HIGH4[h]], CODE[LOW4[h] + HIGH2[i]], LOW6[i],
      HIGH6[j], CODE[LOW2[j] + HIGH4[k]], CODE[LOW4[k] + HIGH2[l]], LOW6[l])
    at = at + 12
  end
  while at + 2 <= length do
    local a, b, c = byte(text, at, at + 2)
    n = n + 1
    out[n] = char(HIGH6[a], CODE[LOW2[a] + HIGH4[b]], CODE[LOW4[b] + HIGH2[c]], LOW6[c])
    at = at + 3
  end
  if at == length then
    local a = byte(text, at)
    out[n + 1] = char(HIGH6[a], CODE[LOW2[a]], 61, 61)
  elseif at < length then
    local a, b = byte(text, at, at + 1)
    out[n + 1] = char(HIGH6[a], CODE[LOW2[a] + HIGH4[b]], CODE[LOW4[b]], 61)
  end
  return concat(out)
end

-- Of a character code, as part of a byte: the value's six bits above two, its high two;
-- its low four above four, its high four; its low two above six, all six.
local UP2, TOP2, UP4, TOP4, UP6, ALL = {}, {}, {}, {}, {}, {}
for value = 0, 63 do
  local code = CODE[value]
  UP2[code], TOP2[code] = value * 4, floor(value / 16)
  UP4[code], TOP4[code] = value % 16 * 16, floor(value / 4)
  UP6[code], ALL[code] = value % 4 * 64, value
end

-- White space is skipped; text that is no base64 gives nil and a message.
function base64.decode(text)
  text = argument(text, "decode")
  if find(text, "%s") then text = gsub(text, "%s+", "") end
  local length = #text
  while length > 0 and #text - length < 2 and byte(text, length) == 61 do length = length - 1 end
  text = sub(text, 1, length)
  if length % 4 == 1 or find(text, "[^%w+/]") then return nil, "not base64" end
  if length <= COMPUTE_BYTES then
    local plain = compute(OP.BASE64_DECODE, text .. sub("===", 1, -length % 4))
    if plain ~= T.REFUSED then return plain end
  end
  local out, n, at = {}, 0, 1
  while at + 15 <= length do
    local a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q = byte(text, at, at + 15)
    n = n + 1
    out[n] = char(UP2[a] + TOP2[b], UP4[b] + TOP4[c], UP6[c] + ALL[d],
      UP2[e] + TOP2[f], UP4[f] + TOP4[g], UP6[g] + ALL[h],
      UP2[i] + TOP2[j], UP4[j] + TOP4[k], UP6[k] + ALL[l],
      UP2[m] + TOP2[o], UP4[o] + TOP4[p], UP6[p] + ALL[q])
    at = at + 16
  end
  while at + 3 <= length do
    local a, b, c, d = byte(text, at, at + 3)
    n = n + 1
    out[n] = char(UP2[a] + TOP2[b], UP4[b] + TOP4[c], UP6[c] + ALL[d])
    at = at + 4
  end
  if at + 2 == length then
    local a, b, c = byte(text, at, at + 2)
    out[n + 1] = char(UP2[a] + TOP2[b], UP4[b] + TOP4[c])
  elseif at + 1 == length then
    local a, b = byte(text, at, at + 1)
    out[n + 1] = char(UP2[a] + TOP2[b])
  end
  return concat(out)
end

return base64
