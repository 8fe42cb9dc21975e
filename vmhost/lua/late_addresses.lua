-- What tables, functions and threads are called where Lua would tell their addresses.
--
-- Programs take `tostring` of a table for its identity: as a key of what they have seen, or
-- as a seed. So the text is distinct and stays the same, but the number in it counts what
-- was asked for in this state, from a random start: it says nothing of memory. Strings
-- (`%p`) have one that follows from their bytes, for equal strings may be one object.
local T = ...
local byte, format, len = T.library.string.byte, T.library.string.format, T.library.string.len
local type, setmetatable = T.native.type, T.native.setmetatable

local STEP = 64          -- bytes between two addresses, as allocators have them
local START = 0x5500 * 2 ^ 32 + T.config.address % 2 ^ 30 * 1024
local PRIME, FACTOR = 4294967291, 257  -- of the sum over a string's bytes

local count = 0
local known = setmetatable({}, { __mode = "k" })  -- the number of what was asked for

local function sum(text)
  local total = 0
  for index = 1, len(text) do total = (total * FACTOR + byte(text, index)) % PRIME end
  return total
end

-- The address of a table, function, thread or string: `0x` and twelve digits.
local function address(value)
  if type(value) == "string" then
    return format("0x%012x", 0x7f00 * 2 ^ 32 + sum(value) * 16 % 2 ^ 40)
  end
  local number = known[value]
  if not number then
    count = count + 1
    number = count
    known[value] = number
  end
  return format("0x%012x", START + number * STEP)
end

return address
