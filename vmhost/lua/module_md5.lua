-- require "md5": digest(text [, raw]), sum(text), sumhexa(text). RFC 1321.
--
-- LuaJIT asks libcrypto (capture.lua). Elsewhere Python computes it; where Lua cannot
-- yield, and of long texts, the code below does.
-- The 64 steps of a block are written out by a loop below and compiled once: with local
-- variables instead of tables a block costs less than half.
local T = ...
local native = T.native
local byte, char, format, rep, sub = T.library.string.byte, T.library.string.char,
  T.library.string.format, T.library.string.rep, T.library.string.sub
local concat, floor, abs, sin = T.library.table.concat, T.library.math.floor,
  T.library.math.abs, T.library.math.sin
local error, tostring, type = native.error, native.tostring, native.type

local SHIFTS = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 } }

-- Per dialect: how a block's words come from the text, the four functions of the rounds,
-- and one step. Sums may leave 32 bits, the bit operations take them modulo 2^32.
local words, functions, step, tools
if T.version >= 5.3 then
  words = "unpack('<I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4', text, at)"
  functions = { "(d ~ (b & (c ~ d)))", "(c ~ (d & (b ~ c)))", "(b ~ c ~ d)", "(c ~ (b | ~d))" }
  step = "t = a + %s + x%d + %d & 0xffffffff a = (t << %d | t >> %d) + b"
  tools = { unpack = T.library.string.unpack }
else
  words = nil
  -- With sums for some of the bit operations, each of which is a call here:
  -- (b and c) or (not b and d) = (b and c) + d - (b and d);  b or not d = (b and d) - d - 1.
  functions = { "band(b, c) + d - band(b, d)", "band(b, d) + c - band(c, d)",
    "bxor(b, c, d)", "bxor(c, band(b, d) - d - 1)" }
  step = "a = rol(a + %s + x%d + %d, %d) + b"
  tools = T.library.bit or T.library.bit32
  if tools then
    tools = { band = tools.band, bxor = tools.bxor, rol = tools.rol or tools.lrotate }
  else
    -- Lua 5.1 has no bit operations: four bits at a time by table.
    local AND = {}
    for x = 0, 15 do
      for y = 0, 15 do
        local sum, bit = 0, 1
        for _ = 1, 4 do
          if floor(x / bit) % 2 + floor(y / bit) % 2 == 2 then sum = sum + bit end
          bit = bit * 2
        end
        AND[x * 16 + y] = sum
      end
    end
    local function band(x, y)
      x, y = x % 2 ^ 32, y % 2 ^ 32
      local sum, unit = 0, 1
      for _ = 1, 8 do
        local low, other = x % 16, y % 16
        sum = sum + AND[low * 16 + other] * unit
        x, y, unit = (x - low) / 16, (y - other) / 16, unit * 16
      end
      return sum
    end
    local function bxor(x, y, z)
      local two = x % 2 ^ 32 + y % 2 ^ 32 - 2 * band(x, y)
      return z and bxor(two, z) or two
    end
    tools = { band = band, bxor = bxor }
    function tools.rol(x, count)
      x = x % 2 ^ 32
      local high = floor(x / 2 ^ (32 - count))
      return (x - high * 2 ^ (32 - count)) * 2 ^ count + high
    end
  end
end

local function block_source()
  local out, names, x = {}, {}, {}
  for name in native.next, tools do names[#names + 1] = name end
  out[1] = "local tools, byte = ... local " .. concat(names, ", ") .. " = tools."
    .. concat(names, ", tools.")
  out[2] = "return function(a, b, c, d, text, at)"
  for i = 0, 15 do x[i + 1] = "x" .. i end
  if words then
    out[3] = "local " .. concat(x, ", ") .. " = " .. words .. " local t"
  else
    local bytes = {}
    for i = 1, 64 do bytes[i] = "b" .. i end
    out[3] = "local " .. concat(bytes, ", ") .. " = byte(text, at, at + 63)"
    for i = 0, 15 do
      out[#out + 1] = format("local x%d = b%d + b%d * 256 + b%d * 65536 + b%d * 16777216", i,
        4 * i + 1, 4 * i + 2, 4 * i + 3, 4 * i + 4)
    end
  end
  out[#out + 1] = "local a0, b0, c0, d0 = a, b, c, d"
  local index = { function(i) return i end, function(i) return (5 * i + 1) % 16 end,
    function(i) return (3 * i + 5) % 16 end, function(i) return 7 * i % 16 end }
  -- Renaming instead of moving: step i works on a, d, c, b in turn.
  local turn = { { a = "a", b = "b", c = "c", d = "d" }, { a = "d", b = "a", c = "b", d = "c" },
    { a = "c", b = "d", c = "a", d = "b" }, { a = "b", b = "c", c = "d", d = "a" } }
  for i = 0, 63 do
    local round, shift = floor(i / 16) + 1, SHIFTS[floor(i / 16) + 1][i % 4 + 1]
    local text = T.fill(step, functions[round], index[round](i), floor(abs(sin(i + 1)) * 2 ^ 32),
      shift, 32 - shift)
    out[#out + 1] = (T.library.string.gsub(text, "%f[%w]([abcd])%f[%W]", turn[i % 4 + 1]))
  end
  out[#out + 1] = "return (a + a0) % 4294967296, (b + b0) % 4294967296, (c + c0) % 4294967296, "
    .. "(d + d0) % 4294967296 end"
  return concat(out, "\n")
end

local block = (native.loadstring or native.load)(block_source(), "=luafarm")(tools, byte)

local PADDING = {}
for length = 0, 63 do PADDING[length] = "\128" .. rep("\0", (55 - length) % 64) end

local function words_of(text)
  local length = #text
  local a, b, c, d = 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476
  local whole = length - length % 64
  for at = 1, whole, 64 do a, b, c, d = block(a, b, c, d, text, at) end
  local bits = length * 8
  local high = floor(bits / 2 ^ 32)
  bits = bits % 2 ^ 32
  local tail = sub(text, whole + 1) .. PADDING[length % 64]
    .. char(bits % 256, floor(bits / 256) % 256, floor(bits / 65536) % 256,
      floor(bits / 16777216), high % 256, floor(high / 256), 0, 0)
  for at = 1, #tail, 64 do a, b, c, d = block(a, b, c, d, tail, at) end
  return a, b, c, d
end

local function bytes_of(word)
  return word % 256, floor(word / 256) % 256, floor(word / 65536) % 256, floor(word / 16777216)
end

local HEX = {}
for value = 0, 255 do HEX[value] = format("%02x", value) end

local function hex(word)
  local a, b, c, d = bytes_of(word)
  return HEX[a] .. HEX[b] .. HEX[c] .. HEX[d]
end

local function argument(text, name)
  if type(text) == "string" then return text end
  if type(text) == "number" then return tostring(text) end
  error("bad argument #1 to '" .. name .. "' (string expected, got "
    .. (text == nil and "no value" or type(text)) .. ")", 3)
end

local compute, OP, COMPUTE_BYTES = T.compute, T.OP, T.config.compute_bytes

local crypto = T.crypto()
local quick = crypto and crypto.md5

local function hexadecimal(text)
  if quick then
    local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p = byte(quick(text), 1, 16)
    return HEX[a] .. HEX[b] .. HEX[c] .. HEX[d] .. HEX[e] .. HEX[f] .. HEX[g] .. HEX[h]
      .. HEX[i] .. HEX[j] .. HEX[k] .. HEX[l] .. HEX[m] .. HEX[n] .. HEX[o] .. HEX[p]
  end
  if #text <= COMPUTE_BYTES then
    local digits = compute(OP.MD5_HEX, text)
    if digits ~= T.REFUSED then return digits end
  end
  local a, b, c, d = words_of(text)
  return hex(a) .. hex(b) .. hex(c) .. hex(d)
end

local function binary(text)
  if quick then return quick(text) end
  if #text <= COMPUTE_BYTES then
    local sum = compute(OP.MD5, text)
    if sum ~= T.REFUSED then return sum end
  end
  local a, b, c, d = words_of(text)
  local a1, a2, a3, a4 = bytes_of(a)
  local b1, b2, b3, b4 = bytes_of(b)
  local c1, c2, c3, c4 = bytes_of(c)
  return char(a1, a2, a3, a4, b1, b2, b3, b4, c1, c2, c3, c4, bytes_of(d))
end

local md5 = {}

-- 32 hexadecimal digits, or 16 bytes if raw.
function md5.digest(text, raw)
  text = argument(text, "digest")
  if raw then return binary(text) end
  return hexadecimal(text)
end

function md5.sum(text) return binary(argument(text, "sum")) end
function md5.sumhexa(text) return hexadecimal(argument(text, "sumhexa")) end

return md5
