-- What a job of each kind does: report(is_ok, name, why) says what a test came to.
--
--   module   load a module
--   script   run a file: it passes if it comes to its end
--   busted   describe and it, with luassert
--   xunit    functions and tables whose names begin with "test" (or end so): luaunit, lunit
--   more     plan, ok, is, is_deeply ...: Test.More
local KINDS = {}
local assert, error, getmetatable, ipairs, next, pairs = assert, error, getmetatable, ipairs, next, pairs
local pcall, rawget, require, select, setmetatable = pcall, rawget, require, select, setmetatable
local tostring, type, unpack, xpcall = tostring, type, unpack or table.unpack, xpcall
local concat, sort, insert = table.concat, table.sort, table.insert
local find, format, lower, match, sub = string.find, string.format, string.lower, string.match, string.sub
local loadfile, setfenv = loadfile, setfenv
local loaded, preload = package.loaded, package.preload
local globals = _G

-- The file of the job as a function whose globals are in `where`.
local function chunk(where)
  local f
  if setfenv then
    f = setfenv(assert(loadfile(JOB.file)), where)
  else
    f = assert(loadfile(JOB.file, "t", where))
  end
  return f
end

local function sorted_keys(tab)
  local keys = {}
  for key in pairs(tab) do if type(key) == "string" then keys[#keys + 1] = key end end
  sort(keys)
  return keys
end

local function luacov() return { init = function() end } end
preload.luacov, preload["luacov.runner"] = luacov, luacov

function KINDS.module(report)
  require(JOB.name)
  report(true, JOB.name)
end

function KINDS.script(report)
  chunk(globals)(unpack(JOB.arguments or {}))
  report(true, JOB.file)
end

-- ---- busted -------------------------------------------------------------------------

local PENDING = {} -- the error of a test that says it is none yet

local function is_excluded(name)
  for _, pattern in ipairs(JOB.excluded or {}) do
    if find(name, pattern) then return true end
  end
  return false
end

local function each(list, failed)
  for _, f in ipairs(list) do
    local ok, why = xpcall(f, failed)
    if not ok then return false, why end
  end
  return true
end

function KINDS.busted(report, failed)
  local luassert = require("luassert")
  local env = { assert = luassert, spy = require("luassert.spy"), stub = require("luassert.stub"),
    mock = require("luassert.mock"), match = require("luassert.match") }
  local current -- the block whose body runs
  local final   -- what `finally` was given in the test that runs

  local function block(name, body, parent)
    return { name = name, body = body, parent = parent, before_each = {}, after_each = {},
      setup = {}, teardown = {}, children = {} }
  end

  local function full_name(node)
    if not node.parent then return nil end
    local above = full_name(node.parent)
    return above and above .. " " .. node.name or node.name
  end

  local function run_test(node)
    local name = full_name(node)
    if is_excluded(name) then return end
    local before, after, above = {}, {}, node.parent
    while above do
      for index = #above.before_each, 1, -1 do insert(before, 1, above.before_each[index]) end
      for _, f in ipairs(above.after_each) do after[#after + 1] = f end
      above = above.parent
    end
    final = nil
    local snapshot = luassert:snapshot()
    local ok, why = each(before, failed)
    if ok then
      ok, why = xpcall(node.body, failed)
      if final then
        local fine, late = xpcall(final, failed)
        if ok and not fine then ok, why = false, late end
      end
      local fine, late = each(after, failed)
      if ok and not fine then ok, why = false, late end
    end
    snapshot:revert()
    if ok or why ~= PENDING then report(ok, name, why) end
  end

  local run_block
  local function run_children(node)
    local snapshot = luassert:snapshot()
    local ok, why = each(node.setup, failed)
    for _, child in ipairs(node.children) do
      if not ok then
        if why ~= PENDING then report(false, full_name(child), why) end
      elseif child.is_test then run_test(child)
      else run_block(child) end
    end
    each(node.teardown, failed)
    snapshot:revert()
  end

  function run_block(node)
    local before = current
    current = node
    local ok, why = xpcall(node.body, failed)
    current = before
    if not ok then
      if why ~= PENDING then report(false, full_name(node) or JOB.file, why) end
      return
    end
    if node.is_insulated then
      local kept_loaded, kept_globals = {}, {}
      for key, value in next, loaded do kept_loaded[key] = value end
      for key, value in next, globals do kept_globals[key] = value end
      run_children(node)
      for key in next, loaded do if kept_loaded[key] == nil then loaded[key] = nil end end
      for key in next, globals do if kept_globals[key] == nil then globals[key] = nil end end
      for key, value in next, kept_loaded do loaded[key] = value end
      for key, value in next, kept_globals do globals[key] = value end
    else
      run_children(node)
    end
  end

  local function describe(name, body)
    if not body then return end
    current.children[#current.children + 1] = block(tostring(name), body, current)
  end
  local function it(name, body)
    if not body then return end
    local node = block(tostring(name), body, current)
    node.is_test = true
    current.children[#current.children + 1] = node
  end
  local function insulate(name, body)
    if not body then name, body = "insulated", name end
    describe(name, body)
    current.children[#current.children].is_insulated = true
  end
  local function expose(name, body) describe(body and name or "exposed", body or name) end
  local function pending(name)
    if current then return end
    error(PENDING, 0)
  end
  local function hook(kind)
    return function(f)
      local list = current[kind]
      if kind == "after_each" or kind == "teardown" then insert(list, 1, f) else insert(list, f) end
    end
  end
  local setup, teardown = hook("setup"), hook("teardown")
  local words = {
    describe = describe, context = describe, it = it, spec = it, test = it, pending = pending,
    insulate = insulate, expose = expose, before_each = hook("before_each"),
    after_each = hook("after_each"), before = setup, after = teardown, setup = setup,
    lazy_setup = setup, strict_setup = setup, teardown = teardown, lazy_teardown = teardown,
    strict_teardown = teardown, randomize = function() end,
    finally = function(f) final = f end,
  }
  for name, word in pairs(words) do env[name] = word end
  preload.busted = function() return env end
  preload["busted.runner"] = function() return function() end end
  setmetatable(env, { __index = function(_, name)
    if type(name) == "string" and sub(name, 1, 7) == "assert_" then return luassert[sub(name, 8)] end
    return globals[name]
  end })

  local body = chunk(env)
  local arguments = JOB.arguments or {}
  run_block(block(JOB.file, function() return body(unpack(arguments)) end))
end

-- ---- luaunit, lunit -----------------------------------------------------------------

-- Whether a failure is one: luaunit raises also to say that a test is over, or none.
local function is_over(why)
  local status = type(why) == "table" and rawget(why, "status")
  return status == "SKIP", status == "SUCCESS" or status == "PASS"
end

local function run_case(report, failed, name, case, f)
  local setup = case.setUp or case.setup or case.Setup or case.SetUp
  local teardown = case.tearDown or case.teardown or case.TearDown
  local ok, why = true, nil
  if setup then ok, why = xpcall(function() setup(case) end, failed) end
  if ok then
    ok, why = xpcall(function() f(case) end, failed)
    if teardown then
      local fine, late = xpcall(function() teardown(case) end, failed)
      if ok and not fine then ok, why = false, late end
    end
  end
  local is_none, is_fine = is_over(why)
  if not is_none then report(ok or is_fine, name, why) end
end

function KINDS.xunit(report, failed)
  local old_loaded, old_globals = {}, {}
  for key in pairs(loaded) do old_loaded[key] = true end
  for key in next, globals do old_globals[key] = true end
  chunk(globals)(unpack(JOB.arguments or {}))
  local cases = {}
  for _, name in ipairs(sorted_keys(globals)) do
    local value = rawget(globals, name)
    if not old_globals[name] and match(lower(name), "^test") then
      if type(value) == "table" then cases[#cases + 1] = { name, value }
      elseif type(value) == "function" then run_case(report, failed, name, {}, value) end
    end
  end
  for _, name in ipairs(sorted_keys(loaded)) do
    if not old_loaded[name] and type(loaded[name]) == "table" and JOB.modules
      and match(name, JOB.modules) then
      cases[#cases + 1] = { name, loaded[name] }
    end
  end
  local done = {}
  for _, case in ipairs(cases) do
    if not done[case[2]] then
      done[case[2]] = true
      for _, name in ipairs(sorted_keys(case[2])) do
        local f = rawget(case[2], name)
        local low = lower(name)
        if (match(low, "^test") or match(low, "test$")) and type(f) == "function" then
          local full = case[1] .. "." .. name
          if not is_excluded(full) then run_case(report, failed, full, case[2], f) end
        end
      end
    end
  end
end

-- ---- Test.More ----------------------------------------------------------------------

local function is_same(one, other, depth)
  if one == other then return true end
  if type(one) ~= "table" or type(other) ~= "table" or depth > 50 then return false end
  for key, value in pairs(one) do
    if not is_same(value, other[key], depth + 1) then return false end
  end
  for key in pairs(other) do if one[key] == nil then return false end end
  return true
end

local SKIP = {}

function KINDS.more(report, failed)
  local number, todo = 0, 0
  local function ok(is_ok, name, why)
    number = number + 1
    if todo > 0 then todo = todo - 1 return is_ok end
    report(is_ok and true or false, format("%s: %s", number, name or ""), why or "not ok")
    return is_ok
  end
  local function told(got, wanted) return format("got %s, wanted %s", tostring(got), tostring(wanted)) end
  local words = {
    plan = function(what) if what == "skip_all" then error(SKIP, 0) end end,
    skip_all = function() error(SKIP, 0) end,
    done_testing = function() end, diag = function() end, note = function() end,
    BAIL_OUT = function(why) error(why or "bail out", 0) end,
    ok = ok, pass = function(name) return ok(true, name) end, fail = function(name) return ok(false, name) end,
    nok = function(value, name) return ok(not value, name) end,
    is = function(got, wanted, name) return ok(got == wanted, name, told(got, wanted)) end,
    isnt = function(got, other, name) return ok(got ~= other, name) end,
    equals = function(got, wanted, name) return ok(got == wanted, name, told(got, wanted)) end,
    not_equals = function(got, other, name) return ok(got ~= other, name) end,
    is_true = function(got, name) return ok(got == true, name, told(got, true)) end,
    is_false = function(got, name) return ok(got == false, name, told(got, false)) end,
    is_nil = function(got, name) return ok(got == nil, name, told(got, nil)) end,
    is_table = function(got, name) return ok(type(got) == "table", name) end,
    is_function = function(got, name) return ok(type(got) == "function", name) end,
    like = function(got, pattern, name)
      return ok(type(got) == "string" and find(got, pattern) ~= nil, name, told(got, pattern))
    end,
    unlike = function(got, pattern, name) return ok(not find(tostring(got), pattern), name) end,
    cmp_ok = function(one, by, other, name)
      local f = assert((loadstring or load)("local a, b = ... return a " .. by .. " b"))
      return ok(f(one, other), name)
    end,
    is_deeply = function(got, wanted, name) return ok(is_same(got, wanted, 1), name) end,
    same = function(got, wanted, name) return ok(is_same(got, wanted, 1), name) end,
    type_ok = function(value, wanted, name) return ok(type(value) == wanted, name) end,
    isa_ok = function(value, wanted, name) return ok(type(value) == wanted, name) end,
    can_ok = function(value, ...)
      for _, name in ipairs { ... } do if value[name] == nil then return ok(false, "can " .. name) end end
      return ok(true, "can")
    end,
    require_ok = function(name)
      local is_ok, why = pcall(require, name)
      return ok(is_ok, "require " .. name, why)
    end,
    lives_ok = function(code, ...)
      local f, arguments, name = code, {}, ...
      if type(name) == "table" then arguments, name = ... end
      if type(f) == "string" then f = assert((loadstring or load)(f)) end
      local is_ok, why = pcall(f, unpack(arguments))
      return ok(is_ok, name, why)
    end,
    skip = function(_, count) number = number + (count or 1) end,
    eq_array = function(got, wanted, name) return ok(is_same(got, wanted, 1), name) end,
    todo = function(_, count) todo = count or 1 end,
  }
  local function raises(test)
    return function(code, ...)
      local f, arguments, wanted, name = code, {}, ...
      if type(wanted) == "table" then arguments, wanted, name = ... end
      if type(f) == "string" then f = assert((loadstring or load)(f)) end
      local is_ok, why = pcall(f, unpack(arguments))
      if is_ok then return ok(false, name, "no error") end
      return ok(test(why, wanted), name, told(why, wanted))
    end
  end
  words.error_is = raises(function(why, wanted) return why == wanted end)
  words.error_like = raises(function(why, wanted) return type(why) == "string" and find(why, wanted) end)
  words.error_matches, words.error_equals = words.error_like, words.error_is
  words.throws_ok = raises(function() return true end)
  for name, word in pairs(words) do globals[name] = word end
  for _, name in ipairs { "Test.More", "Test.Assertion", "Test.Builder" } do
    preload[name] = function() return words end
  end
  local is_ok, why = xpcall(chunk(globals), failed)
  if not is_ok and why ~= SKIP then report(false, JOB.file, why) end
end
