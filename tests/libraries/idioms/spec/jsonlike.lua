local json = require("jsonlike")
local function same(text, value) assert(json.encode(json.decode(text)) == (value or text), json.encode(json.decode(text))) end
function test_values_come_back()
  same('[1,2.5,"x",true,false,null]')
  same('{"a":{"b":[]},"c":-0.5}', '{"a":{"b":{}},"c":-0.5}')
  same(' [ 1 , 2 ] ', "[1,2]")
end
function test_escapes()
  assert(json.decode('"\\u00e4\\n\\"\\\\"') == "\195\164\n\"\\")
  assert(json.encode("\1\"\\") == '"\\u0001\\"\\\\"')
end
function test_errors_name_the_place()
  local value, why = json.decode("[1,")
  assert(value == nil and why == "unexpected at 4", why)
  assert(select(2, json.decode("[1 2]")):find("no , or ]", 1, true))
  assert(select(2, json.decode("tru")):find("unexpected word at 1", 1, true))
end
function test_numbers_keep_their_text()
  for _, n in ipairs { 1e300, -1e-300, 0.1, 123456789, 2 ^ 53 } do
    assert(json.decode(json.encode(n)) == n)
  end
  assert(not pcall(json.encode, 1 / 0))
end
function test_null_tells_its_name() assert(tostring(json.null) == "null") end
