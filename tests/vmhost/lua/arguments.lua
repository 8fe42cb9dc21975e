-- Call one function of the environment with every combination of odd arguments.
--
-- Asked without NAME it lists what can be called. Else it calls NAME with up to COUNT
-- arguments, the first of which is value number FIRST, and tells the calls that took longer
-- than LIMIT seconds of CPU time.
--
-- FEW leaves out what is slow or odd in the same way as another value.
local clock, concat, pcall, select, type = os.clock, table.concat, pcall, select, type
local tonumber, format, pairs, tostring = tonumber, string.format, pairs, tostring
local unpack, setmetatable, sort = table.unpack or unpack, setmetatable, table.sort
local find = string.find  -- the metatable of strings may be any, after debug.setmetatable
local math, coroutine, load, require = math, coroutine, loadstring or load, require

local MODULES = { "luafarm", "luafarm.cookies", "luafarm.crypto", "luafarm.form",
  "luafcgid", "md5", "base64", "json" }
local modules = {}
for _, name in ipairs(MODULES) do modules[name] = require(name) end

local values, names = {}, {}  -- makers of each value, and what it is called
local function add(name, make, few)
  if FEW and not few then return end
  values[#values + 1], names[#names + 1] = make, name
end

local NUMBERS = { "0", "1", "-1", "3", "2^31-1", "2^31", "-2^31", "2^32", "2^53", "-2^53", "2^63", "-2^63",
  "2^64", "1e308", "1/0", "-1/0", "0/0", "0.5", "-2^31-1", "2^32+1", "2^62", "255", "-0.0", "36", "2^30" }
local FREQUENT = { ["0"] = true, ["1"] = true, ["-1"] = true, ["2^31-1"] = true, ["2^31"] = true,
  ["-2^31"] = true, ["2^53"] = true, ["2^63"] = true, ["-2^63"] = true, ["1/0"] = true, ["0/0"] = true }

local function prepare()
  for _, text in ipairs(NUMBERS) do
    local value = load("return " .. text)()
    add(text, function() return value end, FREQUENT[text])
  end
  if math.maxinteger then
    add("maxinteger", function() return math.maxinteger end, true)
    add("mininteger", function() return math.mininteger end, true)
    add("maxinteger-1", function() return math.maxinteger - 1 end)
  end
  local long, text = ("a"):rep(20000), { "", "x", "10", "0x7fffffff", "9223372036854775808", "1e400", "%d%s%5.3q", "*t",
    "\0", "n", "collect", "k", ".-.-", "i16s8z!16" }
  for _, each in ipairs(text) do
    add(format("%q", each), function() return each end, each == "x" or each == "10")
  end
  add("long", function() return long end)
  add("nil", function() return nil end, true)
  add("true", function() return true end)
  add("{}", function() return {} end)
  add("{1,2,3}", function() return { 1, 2, 3 } end, true)
  add("gaps", function() return { [1] = 1, [2] = 2, [4] = 4, [2^31] = 1, [2^31-1] = 1, [2^53] = 1, [-1] = 1 } end)
  add("words", function() return { "a", "b", n = 2^53, year = 2^31, month = 1/0, day = 0/0, hour = 2^53 } end)
  local function self(t) return t end
  add("meta", function()
    return setmetatable({}, { __index = function() return 1 end, __newindex = function() end,
      __len = function() return 2^53 end, __call = self, __tostring = function() return long end,
      __lt = function() return true end, __le = function() return true end, __eq = function() return true end,
      __concat = self, __unm = self, __pairs = function() return self, 1, 1 end, __ipairs = self,
      __name = long, __metatable = {}, __close = self, __mode = "kv" })
  end, true)
  add("function", function() return self end)
  add("C function", function() return select end)
  add("thread", function() return coroutine.create(self) end)
end

local function functions(con)
  local found = {}
  for name, value in pairs(_G) do
    if type(value) == "function" then found[name] = value end
    if type(value) == "table" and value ~= _G then
      for inner, f in pairs(value) do
        if type(f) == "function" then found[name .. "." .. tostring(inner)] = f end
      end
    end
  end
  for name, module in pairs(modules) do
    for inner, f in pairs(module) do
      if type(f) == "function" then found[name .. "." .. inner] = f end
    end
  end
  for name, f in pairs(con) do
    found["con." .. name] = function(...) return f(con, ...) end
  end
  found.main = nil
  -- they end the request or its reply, whatever they are given
  found["os.exit"], found["con.finish"] = nil, nil
  return found
end

function main(env, con)
  local found = functions(con)
  if not env.NAME then
    local list = {}
    for name in pairs(found) do list[#list + 1] = name end
    sort(list)
    return con:puts(concat(list, " "))
  end
  FEW = env.FEW == "1"
  if #values == 0 then prepare() end
  local first = tonumber(env.FIRST)
  if not first then return con:puts(#values .. "") end
  local f, count, limit = found[env.NAME], tonumber(env.COUNT), tonumber(env.LIMIT)
  local slow, indexes, calls, arguments = {}, {}, 0, {}
  local reset = con.reset
  local function try(given)
    for index = 1, given do arguments[index] = values[indexes[index]]() end
    local before = clock()
    local ok, message = pcall(f, unpack(arguments, 1, given))
    local took = clock() - before
    calls = calls + 1
    local is_full = type(message) == "string" and find(message, "not enough memory")
    if #slow < 10 and (took > limit or not ok and is_full) then
      local said = {}
      for index = 1, given do said[index] = names[indexes[index]] end
      slow[#slow + 1] = format("%s(%s): %.3f s%s", env.NAME, concat(said, ", "), took,
        is_full and ", full memory" or "")
    end
    ok, message = nil, nil
    if calls % 64 == 0 then reset(con) end
  end
  local function fill(at, given)
    if at > given then return try(given) end
    for index = 1, #values do
      indexes[at] = index
      fill(at + 1, given)
    end
  end
  indexes[1] = first
  for given = 1, count do fill(2, given) end
  reset(con)
  con:puts("@@" .. calls .. "\n" .. concat(slow, "\n"))
end
