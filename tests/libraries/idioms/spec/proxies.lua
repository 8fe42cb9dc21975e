local proxies = require("proxies")
function test_sets()
  local a, b = proxies.set { 1, 2 }, proxies.set { 2, 3 }
  assert(tostring(a + b) == "{1, 2, 3}" and tostring(a * b) == "{2}" and a * b <= a and a ~= b)
  assert(a * b == proxies.set { 2 } and not (a < a) and a .. b == "{1, 2}{2, 3}")
  assert(("%s"):format(tostring(a)) == "{1, 2}")
end
function test_defaults()
  local t = proxies.defaults(function(key) return { key } end)
  assert(t.a[1] == "a" and t.a == t.a)
end
function test_weak_caches()
  local calls = 0
  local f = proxies.memoize(function() calls = calls + 1 return { calls } end)
  local kept = f("x")
  assert(f("x") == kept and calls == 1)
  kept = nil
  collectgarbage() collectgarbage()
  f("x")
  assert(calls == 2)
end
function test_a_unique_value_is_no_table_where_there_is_newproxy()
  local unique = proxies.unique
  assert(type(unique) == (newproxy and "userdata" or "table"))
  assert(tostring(unique) == "unique" and unique.anything == "anything" and unique(5) == 5)
  assert(({ [unique] = 1 })[unique] == 1)
end
function test_strings_have_methods_of_ones_own()
  proxies.extend_strings()
  assert((" x "):trim() == "x" and ("abc"):starts("ab") and "%d-%s" % { 1, "x" } == "1-x")
  assert(#"abc" == 3 and ("x"):rep(3) == "xxx")
end
function test_tables_that_are_walked_by_metamethods()
  local t = setmetatable({}, { __index = function(_, n) return n <= 3 and n * 10 or nil end })
  local sum = 0
  for index = 1, 3 do sum = sum + t[index] end
  assert(sum == 60 and next(t) == nil)
end
