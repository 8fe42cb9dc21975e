-- Names of the standard libraries that few scripts use: `string.dump`, `warn`; of Lua 5.1
-- `newproxy` and `gcinfo`. Stubs (late.lua) call them: levels count that.
local T = ...
local native, D = T.native, T.library.debug
local error, floor, ipairs, next = native.error, T.library.math.floor, native.ipairs, native.next
local rawequal, rawget, rawset, type = native.rawequal, native.rawget, native.rawset, native.type
local concat, getinfo, sub = T.library.table.concat, D.getinfo, T.library.string.sub
local names = {}

-- ---- string.dump ----------------------------------------------------------------------

-- What a dump begins with, which programs look at for the version and the size of numbers.
-- There is no more of it: nothing precompiled is ever loaded.
local HEAD_BYTES = T.jit and 5 or ({ [5.2] = 18, [5.3] = 33 })[T.version] or 31
local head

function names.dump(f)
  if type(f) ~= "function" then
    T.expected(1, "string.dump", "function", f, f == nil, 1)
  end
  local info = getinfo(f, "S")
  if info.what == "C" or info.source == "=luafarm" or info.source == "=?" or info.linedefined < 0 then
    error("unable to dump given function", 3)  -- below 0: of LuaJIT's own, which it calls Lua functions
  end
  head = head or sub(T.library.string.dump((native.loadstring or native.load)("")), 1, HEAD_BYTES)
  return head
end

-- ---- warn -----------------------------------------------------------------------------

local is_told = false  -- warnings are off in a new state

function names.warn(...)
  local parts = { ... }
  if #parts == 0 then T.expected(1, "warn", "string", nil, true, 1) end
  for index, part in ipairs(parts) do parts[index] = T.word(part, index, "warn", false, 1) end
  local text = concat(parts)
  if #parts == 1 and sub(text, 1, 1) == "@" then
    if text == "@on" then is_told = true elseif text == "@off" then is_told = false end
  elseif is_told then
    T.log("w", "Lua warning: " .. text)
  end
end

-- ---- gcinfo, newproxy: Lua 5.1 --------------------------------------------------------

function names.gcinfo() return floor(native.collectgarbage("count")) end

-- A proxy's real metatable is ours and never shown, so that `__gc` set in the one that the
-- script sees is no finalizer. It forwards to that one.
local shown = native.setmetatable({}, { __mode = "k" })  -- by real metatable

local function handler(value, event)
  local meta = type(value) == "userdata" and shown[D.getmetatable(value)]
  if meta then return rawget(meta, event) end
end

local function either(a, b, event, attempt)
  local f = handler(a, event)
  if f == nil then f = handler(b, event) end
  if f == nil then error("attempt to " .. attempt, 3) end
  return f
end

local events = {}
function events.__index(proxy, key)
  local by = handler(proxy, "__index")
  if by == nil then error("attempt to index a userdata value", 2) end
  if type(by) == "function" then return by(proxy, key) end
  return by[key]
end
function events.__newindex(proxy, key, value)
  local by = handler(proxy, "__newindex")
  if by == nil then error("attempt to index a userdata value", 2) end
  if type(by) == "function" then by(proxy, key, value) else by[key] = value end
end
function events.__call(proxy, ...)
  local by = handler(proxy, "__call")
  if by == nil then error("attempt to call a userdata value", 2) end
  return by(proxy, ...)
end
function events.__tostring(proxy)
  local by = handler(proxy, "__tostring")
  if by == nil then return "userdata: " .. T.late("addresses")(proxy) end
  return by(proxy)
end
function events.__len(proxy)
  return (either(proxy, nil, "__len", "get length of a userdata value")(proxy))
end
for _, event in ipairs { "__add", "__sub", "__mul", "__div", "__mod", "__pow", "__unm" } do
  events[event] = function(a, b)
    return (either(a, b, event, "perform arithmetic on a userdata value")(a, b))
  end
end
function events.__concat(a, b)
  return (either(a, b, "__concat", "concatenate a userdata value")(a, b))
end
function events.__eq(a, b)
  local by = handler(a, "__eq")
  return by ~= nil and rawequal(by, handler(b, "__eq")) and by(a, b)
end
function events.__lt(a, b) return either(a, b, "__lt", "compare two userdata values")(a, b) end
function events.__le(a, b)
  local by = handler(a, "__le")
  if by ~= nil then return by(a, b) end
  return not either(a, b, "__lt", "compare two userdata values")(b, a)
end

function names.newproxy(like)
  if like == nil or like == false then return native.newproxy() end
  if like ~= true then
    if type(like) ~= "userdata" or not shown[D.getmetatable(like)] then
      T.argument(1, "newproxy", "boolean or proxy expected", 1)
    end
    return native.newproxy(like)
  end
  local proxy, meta = native.newproxy(true), {}
  local real = D.getmetatable(proxy)
  for event, f in next, events do rawset(real, event, f) end
  rawset(real, "__metatable", meta)
  shown[real] = meta
  return proxy
end

return names
