-- Request parameters: FastCGI name-value pairs, decoded when a script looks at them.
--
-- Most scripts read few of some thirty parameters. So `env` is empty at first and has a
-- metatable that finds what is read and puts it there. Whatever else is done with it makes
-- a plain table with everything of it before (`whole`): assignments, `pairs`, a metatable
-- of the script's own, and those of our functions that take a table as it is.
--
-- Some native functions look behind a metatable, and we leave them native: LuaJIT has an
-- instruction of its own for loops over `next`. A state into which text comes that mentions
-- one of them gets plain tables from then on (`look_for_raw`). A script that calls them
-- without naming them (_G["ne" .. "xt"]) sees of `env` what it has read, and nothing of ours.
-- A script that wanted all parameters once gets plain tables for the next requests, too.
--
-- Provides: undecoded, whole, params, look_for_raw.
local T = ...
local native, info, new_table = T.native, T.info, T.new_table
local byte, find, sub = T.library.string.byte, T.library.string.find, T.library.string.sub
local ipairs, next, rawset = native.ipairs, native.next, native.rawset
local error, pcall, setmetatable, type = native.error, native.pcall, native.setmetatable, native.type
local set_metatable = T.library.debug.setmetatable

local VERSION = "LUAFCGID_VERSION"
local RAW = { "next", "rawget", "getmetatable" }
local WHILE = 100     -- requests: what `whole` costs more than `decode` falls below 1 %
local MAX_NAME = 256  -- bytes of a name to look for; a look takes bytes of all x of the name
-- What a look costs that finds nothing, and one that does: as much as stepping over these bytes.
local MISS, HIT = 200, 500
local ENOUGH = 1.5    -- times all bytes: who looks for more is better off with `whole`
local KEPT = 256      -- entries of `strides`

-- A length of four bytes, FastCGI 1.0, 3.4; one beyond the end leads there and no further:
-- LuaJIT's strings have positions of 32 bits.
local function long(blob, at)
  local a, b, c, d = byte(blob, at, at + 3)
  if not d then return nil end
  local bytes = (a % 128) * 16777216 + b * 65536 + c * 256 + d
  return bytes < #blob and bytes or #blob
end

-- Bytes of the name and of the value of the pair at a position, and where its name begins;
-- nothing where it is cut off before that.
local function pair_at(blob, at)
  local name, value = byte(blob, at), byte(blob, at + 1)
  at = at + 2
  if name and name > 127 then
    name = long(blob, at - 2)
    at = at + 3
    value = byte(blob, at - 1)
  end
  if value and value > 127 then
    value = long(blob, at - 1)
    at = at + 3
  end
  if name and value then return name, value, at end
end

-- A plain table of all parameters; what is cut off at the end counts as empty.
local function decode(blob)
  local env = new_table and new_table(0, 40) or {}
  local at, last = 1, #blob
  while at <= last do  -- `pair_at` again, as a call of it would take as long as the rest
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
  env[VERSION] = 1
  return env
end

-- Bytes of whole pairs, by their first two bytes if both lengths are below 128.
local strides, kept = {}, 0

local function next_pair(blob, at)
  local name, value, from = pair_at(blob, at)
  if not name then return #blob + 1 end
  local bytes = from - at + name + value
  if from == at + 2 then
    if kept == KEPT then strides, kept = {}, 0 end
    strides[sub(blob, at, at + 1)] = bytes
    kept = kept + 1
  end
  return at + bytes
end

local spent = 0  -- bytes that the looks of this request stepped over, or could have

-- One value, or nil; the last one of several. name: neither empty nor long. Its text is
-- quickly found, but it may stand in a value: only steps from pair to pair tell.
local function value_of(blob, name)
  if name == VERSION then return 1 end
  local size, last, at, strides, value = #name, #blob, 1, strides, nil
  local target = find(blob, name, 1, true)
  while target do
    local start
    repeat
      start = at
      local stride = strides[sub(blob, at, at + 1)]
      at = stride and at + stride or next_pair(blob, at)
    until at > target
    local bytes, _, from = pair_at(blob, start)
    -- it may have been found too early as well, with a length that looks like its start
    if from and (from == target or target < from and sub(blob, from, from + size - 1) == name)
      and (bytes == size or bytes > size and from + size > last) then
      value = sub(blob, from + bytes, at - 1)
    end
    target = find(blob, name, at, true)
  end
  spent = spent + at + (value and HIT or MISS)
  return value
end

local undecoded = setmetatable({}, { __mode = "k" })  -- name-value pairs, by `env`
local read = setmetatable({}, { __mode = "k" })  -- by `env`: names that it has itself
local plain_until = 0                            -- request up to which `env` is plain
T.undecoded = undecoded

if T.config.trusted then plain_until = 1 / 0 end

-- The table itself; if it is an `env`, with all its parameters and as plain as any.
local function whole(t)
  local blob = undecoded[t]
  if not blob then return t end
  local known = read[t]
  for name, value in next, decode(blob) do
    if not (known and known[name]) then rawset(t, name, value) end
  end
  set_metatable(t, nil)
  undecoded[t], read[t] = nil, nil
  if plain_until < info.requests + WHILE then plain_until = info.requests + WHILE end
  return t
end
T.whole = whole

local lazy = { __metatable = false }

function lazy.__index(env, name)
  if type(name) ~= "string" then return nil end
  local known, blob = read[env], undecoded[env]
  if known and known[name] then return nil end  -- set to nil since
  if spent > ENOUGH * #blob or #name > MAX_NAME or name == "" then
    return whole(env)[name]
  end
  local value = value_of(blob, name)
  if value == nil then return nil end
  rawset(env, name, value)
  if not known then
    known = {}
    read[env] = known
  end
  known[name] = true
  return value
end

function lazy.__newindex(env, key, value)
  whole(env)
  if key == nil or key ~= key then  -- in Lua's words, and at the script's line
    local _, message = pcall(rawset, env, key, value)
    error(message, 2)
  end
  rawset(env, key, value)
end

function lazy.__pairs(env) return next, whole(env), nil end

-- Return the `env` of a request from its name-value pairs.
function T.params(blob)
  if info.requests <= plain_until then return decode(blob) end
  local env = {}
  undecoded[env], spent = blob, 0
  return setmetatable(env, lazy)
end

-- Text that becomes part of the script.
function T.look_for_raw(source)
  if plain_until == 1 / 0 then return end
  for _, word in ipairs(RAW) do
    if find(source, word, 1, true) then
      plain_until = 1 / 0
      for env in next, undecoded do whole(env) end
      return
    end
  end
end
