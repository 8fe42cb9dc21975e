local routes = require("routes")
function test_routes()
  local r = routes.router()
  r.get("/users/:id", function(p, x) return p.id .. x end).post("/a.b/*", function(p) return p.splat end)
  local ok, found = r.execute("GET", "/users/7", "!")
  assert(ok and found == "7!")
  assert(select(2, r.execute("POST", "/a.b/c/d")) == "c/d")
  assert(r.execute("POST", "/aXb/c") == nil)
end
function test_machines()
  local seen = {}
  local m = routes.machine { initial = "green", events = {
    { name = "warn", from = "green", to = "yellow" }, { name = "stop", from = "*", to = "red" } },
    callbacks = { onyellow = function(_, event, x) seen[#seen + 1] = event .. x end,
      onbeforestop = function(_, _, _, _, may) return may end } }
  assert(m:warn(1) and m.current == "yellow" and not m:warn(2) and seen[1] == "warn1")
  assert(not m:stop(false) and m:stop(true) and m.current == "red")
end
function test_varargs_with_nil()
  local p = routes.pack(nil, 2, nil)
  assert(p.n == 3 and select("#", routes.unpack(p)) == 3)
  local f = routes.bind(function(...) return select("#", ...), (select(4, ...)) end, nil, nil)
  local n, fourth = f(nil, "x", nil)
  assert(n == 5 and fourth == "x")
end
function test_generators()
  local sum = 0
  for n in routes.range(1, 10, 3) do sum = sum + n end
  assert(sum == 22)
  local count = 0
  for p in routes.permutations { 1, 2, 3 } do count = count + 1 assert(#p == 3) end
  assert(count == 6)
end
