local serializer = require("serializer")
local function copy(value) local ok, found = serializer.load(serializer.dump(value)) assert(ok, found) return found end
function test_tables_come_back()
  local t = copy { 1, 2, { a = "x\n\0y", ["b c"] = true, [3.5] = false }, ["end"] = 1 }
  assert(t[3].a == "x\n\0y" and t[3]["b c"] == true and t[3][3.5] == false and t["end"] == 1)
end
function test_numbers_come_back()
  local t = copy { math.huge, -math.huge, 0.1, -5 }
  assert(t[1] == math.huge and t[2] == -math.huge and t[3] == 0.1 and t[4] == -5)
  assert(copy { 0 / 0 }[1] ~= copy { 0 / 0 }[1])
end
function test_references_come_back()
  local shared = { 1 }
  local t = { a = shared, b = shared }
  t.self = t
  local u = copy(t)
  assert(u.a == u.b and u.self == u)
end
function test_functions_of_the_language_have_names()
  assert(serializer.dump { f = string.format }:find("f = string.format", 1, true))
  assert(copy { f = math.floor }.f == math.floor)
end
function test_keys_are_sorted_as_people_do()
  assert(serializer.dump { a10 = 1, a9 = 2 }:find("a9 = 2, a10 = 1", 1, true))
end
function test_text_that_does_not_compile()
  local ok, why = serializer.load("return {")
  assert(ok == nil and why:find("^saved:1:"), why)
end
