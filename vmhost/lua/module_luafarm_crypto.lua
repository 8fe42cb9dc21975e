-- require "luafarm.crypto": random bytes, digests, HMAC, and hashes of passwords.
--
-- The host computes them (vmhost/host/services/crypto.py). Nothing here is done in Lua, so
-- where Lua cannot ask the host (a callback of sort or gsub) it is an error that says so.
-- One call is as long as its text, which no hook interrupts: hence the limits.
local T = ...
local byte, char, find, format, gsub = T.library.string.byte, T.library.string.char,
  T.library.string.find, T.library.string.format, T.library.string.gsub
local match, sub, floor = T.library.string.match, T.library.string.sub, T.library.math.floor
local error, select, tonumber = T.native.error, T.native.select, T.native.tonumber
local tostring, type = T.native.tostring, T.native.type
local operate, refuse, REFUSED, OP, fill = T.operate, T.refuse, T.REFUSED, T.OP, T.fill

local MAX_RANDOM = 65536
local MAX_TEXT = 16 * 1024 * 1024  -- bytes of one digest: some hundredths of a second
local MAX_KEY = 65536
local MAX_PASSWORD = 4096

-- scrypt, RFC 7914: 16 MiB and about a fifth of a second, as OWASP recommends it. A hash that
-- is verified may have cost up to one and a half times as much, in up to 64 MiB: nothing stops
-- it, so it must end well within the grace of a budget.
local POWER, R, P = 14, 8, 5
local MAX_WORK = 2 ^ 20        -- N * r * p
local MAX_MEMORY = 64 * 2 ^ 20 -- 128 * N * r
local SALT_BYTES, KEY_BYTES = 16, 32

local function argument(index, name, value, most)
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" then
    error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got "
      .. (value == nil and "no value" or type(value)) .. ")", 3)
  end
  if #value > most then
    error(fill("bad argument #%d to '%s' (text of %d bytes; the limit is %d)", index, name,
      #value, most), 3)
  end
  return value
end

local function ask(name, operation, value)
  local answer = operate(operation, value)
  if answer == REFUSED then refuse(name, 4) end
  return answer
end

local function length(text)  -- in four bytes
  local n = #text
  return char(floor(n / 16777216), floor(n / 65536) % 256, floor(n / 256) % 256, n % 256)
end

local HEX = {}
for value = 0, 255 do HEX[char(value)] = format("%02x", value) end
local function shown(bytes, raw)
  if raw then return bytes end
  return (gsub(bytes, ".", HEX))
end

local crypto = {}

local function random(n, name)
  local count = tonumber(n)
  if not (count and count >= 0 and count <= MAX_RANDOM and count == floor(count)) then
    error(fill("bad argument #1 to '%s' (0 to %d bytes expected, got %s)", name, MAX_RANDOM,
      count and T.tostring(n) or n == nil and "no value" or type(n)), 3)
  end
  return ask(name, OP.RANDOM, floor(count))
end

-- n random bytes of the kernel.
function crypto.random(n) return (random(n, "random")) end

local NUMBERS = { md5 = 0, sha1 = 1, sha224 = 2, sha256 = 3, sha384 = 4, sha512 = 5,
  ["sha3-224"] = 6, ["sha3-256"] = 7, ["sha3-384"] = 8, ["sha3-512"] = 9,
  sha3_224 = 6, sha3_256 = 7, sha3_384 = 8, sha3_512 = 9 }

local function number_of(digest, name)
  local number = type(digest) == "string" and NUMBERS[digest]
  if not number then
    error("bad argument #1 to '" .. name .. "' (name of a digest expected, got "
      .. (type(digest) == "string" and "'" .. sub(digest, 1, 40) .. "'"
        or digest == nil and "no value" or type(digest)) .. ")", 3)
  end
  return number
end

for name, number in T.native.next, NUMBERS do
  if number > 0 and not find(name, "-", 1, true) then
    crypto[name] = function(text, raw)
      text = argument(1, name, text, MAX_TEXT)
      return shown(ask(name, OP.DIGEST, char(number) .. text), raw)
    end
  end
end

-- The same by the digest's name.
function crypto.digest(digest, text, raw)
  local number = number_of(digest, "digest")
  text = argument(2, "digest", text, MAX_TEXT)
  return shown(ask("digest", OP.DIGEST, char(number) .. text), raw)
end

function crypto.hmac(digest, key, text, raw)
  local number = number_of(digest, "hmac")
  key = argument(2, "hmac", key, MAX_KEY)
  text = argument(3, "hmac", text, MAX_TEXT)
  return shown(ask("hmac", OP.HMAC, char(number) .. length(key) .. key .. text), raw)
end

-- Whether two texts are equal; how long it takes tells their lengths, and nothing else.
function crypto.equal(a, b)
  a, b = argument(1, "equal", a, MAX_TEXT), argument(2, "equal", b, MAX_TEXT)
  return ask("equal", OP.EQUAL, length(a) .. a .. b)
end

-- ---- passwords ---------------------------------------------------------------------------

-- Base64 of the PHC string format: no padding, in the alphabet of RFC 4648, 4.
local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local VALUES = {}
for value = 0, 63 do VALUES[byte(ALPHABET, value + 1)] = value end

local function encoded(bytes)
  local out, bits, held = "", 0, 0
  for index = 1, #bytes do
    held, bits = held * 256 + byte(bytes, index), bits + 8
    while bits >= 6 do
      bits = bits - 6
      local value = floor(held / 2 ^ bits)
      held = held - value * 2 ^ bits
      out = out .. sub(ALPHABET, value + 1, value + 1)
    end
  end
  if bits > 0 then
    local value = floor(held * 2 ^ (6 - bits))
    out = out .. sub(ALPHABET, value + 1, value + 1)
  end
  return out
end

local function decoded(text)
  local out, bits, held = "", 0, 0
  for index = 1, #text do
    held, bits = held * 64 + VALUES[byte(text, index)], bits + 6
    if bits >= 8 then
      bits = bits - 8
      local value = floor(held / 2 ^ bits)
      held = held - value * 2 ^ bits
      out = out .. char(value)
    end
  end
  return out
end

local function derived(name, password, power, r, p, salt)
  local key = operate(OP.SCRYPT, char(power, r, p) .. length(salt) .. salt .. password)
  if key == REFUSED then refuse(name, 4) end
  T.look()  -- it may have taken all the CPU time that there was
  if key == "" then
    error(fill("'%s': no %d MiB of memory for it", name, floor(128 * r * 2 ^ power / 2 ^ 20)), 3)
  end
  return key
end

-- A text to keep in place of a password: "$scrypt$ln=14,r=8,p=5$salt$key".
function crypto.hash_password(password)
  password = argument(1, "hash_password", password, MAX_PASSWORD)
  local salt = random(SALT_BYTES, "hash_password")
  local key = derived("hash_password", password, POWER, R, P, salt)
  return fill("$scrypt$ln=%d,r=%d,p=%d$%s$%s", POWER, R, P, encoded(salt), encoded(key))
end

-- Whether a password is the one of a hash; nil and a message for what is no such hash.
function crypto.verify_password(password, hash)
  password = argument(1, "verify_password", password, MAX_PASSWORD)
  hash = argument(2, "verify_password", hash, MAX_PASSWORD)
  local power, r, p, salt, key = match(hash,
    "^%$scrypt%$ln=(%d%d?),r=(%d%d?),p=(%d%d?)%$([%w+/]+)%$([%w+/]+)$")
  if not power then return nil, "verify_password: not a hash of hash_password" end
  power, r, p = tonumber(power), tonumber(r), tonumber(p)
  local work, memory = 2 ^ power * r * p, 128 * 2 ^ power * r
  if power < 1 or work == 0 or power >= 16 * r then  -- RFC 7914, 6
    return nil, "verify_password: not a hash of hash_password"
  end
  if work > MAX_WORK or memory > MAX_MEMORY then
    return nil, format("verify_password: hash with N * r * p of %.0f and %.0f bytes; the limits"
      .. " are %.0f and %.0f", work, memory, MAX_WORK, MAX_MEMORY)
  end
  if #salt > 86 or #key ~= 43 then
    return nil, "verify_password: not a hash of hash_password"
  end
  local found = derived("verify_password", password, power, r, p, decoded(salt))
  local wanted = decoded(key)
  return ask("verify_password", OP.EQUAL, length(found) .. found .. wanted)
end

return crypto
