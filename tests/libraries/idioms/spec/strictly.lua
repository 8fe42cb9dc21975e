local strictly = require("strictly")
function test_undeclared_names_are_errors()
  local t = strictly.guard {}
  local ok, why = pcall(function() return t.nothing end)
  assert(not ok and why:find("variable 'nothing' is not declared"), why)
  ok, why = pcall(function() t.new = 1 end)
  assert(not ok and why:find("assign to undeclared variable 'new'"), why)
end
function test_the_place_of_a_call()
  local file, line = strictly.where()
  assert(file == "strictly.lua" and line == 10, file .. line)
end
function test_parameters()
  local n, is_vararg = strictly.parameters(function(a, b, ...) end)
  assert(n == nil or n == 2 and is_vararg == true)
end
function test_upvalues()
  local hidden = 5
  local function f() return hidden end
  local value, index = strictly.upvalue(f, "hidden")
  assert(value == 5)
  debug.setupvalue(f, index, 6)
  assert(f() == 6)
end
function test_tracebacks_name_functions_and_files()
  local text
  local function failing() error("oops") end
  xpcall(failing, function(why) text = debug.traceback(why, 1) end)
  assert(text:find("oops") and text:find("stack traceback:") and text:find("strictly.lua:%d+"), text)
end
function test_error_values_pass_through()
  local value = setmetatable({ code = 5 }, { __tostring = function(e) return "E" .. e.code end })
  local ok, why = pcall(error, value)
  assert(not ok and why == value and tostring(why) == "E5")
  local ok2, why2 = xpcall(function() error(value, 2) end, function(e) return e.code end)
  assert(not ok2 and why2 == 5)
end
