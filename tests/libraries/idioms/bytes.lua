-- Packing, hashes and bits, with whatever the version has: `bit`, `bit32`, operators by `load`, or
-- arithmetic; numbers by string.pack or by frexp.
local M = {}

local function operators()
  local make = (loadstring or load)([[return {
    band = function(a, b) return a & b end, bor = function(a, b) return a | b end,
    bxor = function(a, b) return a ~ b end, bnot = function(a) return ~a & 0xFFFFFFFF end,
    lshift = function(a, n) return (a << n) & 0xFFFFFFFF end, rshift = function(a, n) return a >> n end }]])
  return make and make()
end
local ok, bits = pcall(require, "bit")
if not ok then ok, bits = pcall(require, "bit32") end
M.kind = ok and "library" or "operators"
if not ok then bits = operators() end

local function word(n) return n % 0x100000000 end
local function rotate(n, by) return word(bits.bor(bits.lshift(n, by), bits.rshift(word(n), 32 - by))) end

function M.sha1(text)
  local h = { 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0 }
  local length = #text * 8
  text = text .. "\128" .. ("\0"):rep((55 - #text) % 64)
  local tail = {}
  for index = 8, 1, -1 do tail[index] = string.char(length % 256) length = math.floor(length / 256) end
  text = text .. table.concat(tail)
  for block = 1, #text, 64 do
    local w = {}
    for index = 0, 15 do
      local a, b, c, d = text:byte(block + index * 4, block + index * 4 + 3)
      w[index] = ((a * 256 + b) * 256 + c) * 256 + d
    end
    for index = 16, 79 do
      w[index] = rotate(word(bits.bxor(bits.bxor(w[index - 3], w[index - 8]), bits.bxor(w[index - 14], w[index - 16]))), 1)
    end
    local a, b, c, d, e = h[1], h[2], h[3], h[4], h[5]
    for index = 0, 79 do
      local f, k
      if index < 20 then f, k = bits.bor(bits.band(b, c), bits.band(bits.bnot(b), d)), 0x5A827999
      elseif index < 40 then f, k = bits.bxor(bits.bxor(b, c), d), 0x6ED9EBA1
      elseif index < 60 then
        f, k = bits.bor(bits.bor(bits.band(b, c), bits.band(b, d)), bits.band(c, d)), 0x8F1BBCDC
      else f, k = bits.bxor(bits.bxor(b, c), d), 0xCA62C1D6 end
      a, b, c, d, e = word(rotate(a, 5) + word(f) + e + k + w[index]), a, rotate(b, 30), c, d
    end
    h[1], h[2], h[3] = word(h[1] + a), word(h[2] + b), word(h[3] + c)
    h[4], h[5] = word(h[4] + d), word(h[5] + e)
  end
  return (("%08x"):rep(5)):format(h[1], h[2], h[3], h[4], h[5])
end

local frexp, ldexp = math.frexp, math.ldexp
function M.pack_double(n)
  if string.pack then return string.pack(">d", n) end
  local sign = (n < 0 or 1 / n < 0) and 1 or 0
  local mantissa, exponent = frexp(math.abs(n))
  if n == 0 then mantissa, exponent = 0, 0
  else mantissa, exponent = (mantissa * 2 - 1) * 2 ^ 52, exponent + 1022 end
  local out = {}
  for index = 8, 3, -1 do out[index] = string.char(math.floor(mantissa) % 256) mantissa = mantissa / 256 end
  out[2] = string.char(math.floor(exponent) % 16 * 16 + math.floor(mantissa) % 16)
  out[1] = string.char(sign * 128 + math.floor(exponent / 16))
  return table.concat(out)
end

function M.unpack_double(text)
  if string.unpack then return (string.unpack(">d", text)) end
  local b = { text:byte(1, 8) }
  local mantissa = b[2] % 16
  for index = 3, 8 do mantissa = mantissa * 256 + b[index] end
  local exponent = b[1] % 128 * 16 + math.floor(b[2] / 16)
  if exponent == 0 then return 0 end
  return (b[1] > 127 and -1 or 1) * ldexp(mantissa / 2 ^ 52 + 1, exponent - 1023)
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
function M.base64(text)
  return ((text:gsub(".", function(c)
    local n, out = c:byte(), ""
    for index = 8, 1, -1 do out = out .. (n % 2 ^ index - n % 2 ^ (index - 1) > 0 and "1" or "0") end
    return out
  end) .. "0000"):gsub("%d%d%d?%d?%d?%d?", function(six)
    if #six < 6 then return "" end
    local n = 0
    for index = 1, 6 do n = n + (six:sub(index, index) == "1" and 2 ^ (6 - index) or 0) end
    return alphabet:sub(n + 1, n + 1)
  end) .. ({ "", "==", "=" })[#text % 3 + 1])
end
return M
