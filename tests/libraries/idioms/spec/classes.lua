local classes = require("classes")
function test_inheritance()
  local A = classes.class("A")
  function A:initialize(x) self.x = x end
  function A:get() return self.x end
  local B = classes.class("B", A)
  function B:get() return A.get(self) * 2 end
  assert(B(4):get() == 8 and B(1):isInstanceOf(A) and not A(1):isInstanceOf(B))
  assert(tostring(B) == "class B" and tostring(B(1)) == "instance of class B")
end
function test_metamethods_are_inherited()
  local A = classes.class("A")
  function A:initialize(x) self.x = x end
  A.__add = function(a, b) return a.class:new(a.x + b.x) end
  A.__eq = function(a, b) return a.x == b.x end
  A.__lt = function(a, b) return a.x < b.x end
  A.__call = function(a, y) return a.x + y end
  A.__len = function(a) return a.x end
  local B = classes.class("B", A)
  assert((B(1) + B(2)).x == 3 and B(1) == B(1) and B(1) < B(2) and B(1)(5) == 6)
  A.__concat = function(a, b) return a.x .. "+" .. b.x end
  assert(B(1) .. B(2) == "1+2")
end
function test_a_function_as_index()
  local A = classes.class("A")
  A.__index = function(_, name) return name .. "!" end
  local B = classes.class("B", A)
  assert(B().nothing == "nothing!" and B().class == B)
end
function test_mixins_and_statics()
  local Walks = { walk = function() return "walking" end, included = function(_, class) class.static.legs = 2 end }
  local A = classes.class("A"):include(Walks)
  assert(A():walk() == "walking" and A.legs == 2 and classes.class("B", A).legs == 2)
end
function test_shapes()
  local t = classes.types
  local text_or_number = t.string + t.number
  assert(text_or_number(1) and text_or_number("x"))
  local ok, why = text_or_number(true)
  assert(ok == nil and why == "expected string or number, got boolean", why)
  assert((t.string / string.upper)("a") == "A" and (-t.string)(1) and (t.string * -t.number)("x"))
end
function test_what_is_read_only()
  local view = classes.readonly { 1, 2, a = 3 }
  assert(view.a == 3 and getmetatable(view) == false)
  local ok, why = pcall(function() view.b = 1 end)
  assert(not ok and why:find("read only: b"))
end
