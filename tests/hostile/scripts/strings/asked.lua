-- attack: a metatable of strings that hears of every text which trusted code handles
-- expect: refused
local try = require "try"

function main(env, con)
  local heard, modules, meta = nil, {}, getmetatable("")
  for _, name in ipairs { "__tostring", "__concat", "__len", "__eq", "__lt", "__le", "__call", "__unm", "__add", "__sub", "__mul",
    "__div", "__mod", "__pow", "__idiv", "__band", "__newindex", "__pairs", "__ipairs", "__close", "__gc", "__name", "__metatable" } do
    meta[name] = function() heard = heard or name return "" end
  end
  local index = meta.__index
  local strings = string
  meta.__index = function(_, key) heard = heard or "index " .. tostring(key) return strings[key] end
  local names = { "luafarm", "luafcgid", "json", "md5", "base64", "luafarm.form", "luafarm.cookies", "luafarm.crypto" }
  for _, name in ipairs(names) do modules[name] = require(name) end
  local luafarm, json, md5, base64 = modules.luafarm, modules.json, modules.md5, modules.base64
  local cookies, crypto, form = modules["luafarm.cookies"], modules["luafarm.crypto"], modules["luafarm.form"]
  for _, use in ipairs {
    function() luafarm.log("info", "x", 1) luafarm.parse("a=b&c=%41") luafarm.escape_html("<&>") luafarm.urlencode("a b") end,
    function() luafarm.read("none") luafarm.random(4) luafarm.parse("a&b&c", { pairs = 1 }) end,
    function() json.encode({ a = "x\n", b = { 1, 2 } }) json.decode('{"a": "\\n", "b": [1]}') end,
    function() json.decode("[") end, function() md5.sum(strings.rep("x", 400000)) md5.sumhexa("x") end,
    function() base64.decode(base64.encode(strings.rep("x", 400000))) end,
    function() modules.luafcgid.serialize({ a = "x", [1] = 2 }) modules.luafcgid.parse("a=b&a=c") end,
    function() cookies.set(con, "a", "b\n", { expires = 1, path = "/", domain = "example.com", samesite = "lax" }) end,
    function() cookies.set(con, "a", "b", { path = strings.rep("x", 2000) }) end,
    function() cookies.parse({ HTTP_COOKIE = "a=b; c=%41" }) end, function() con:cookie("a", "b", 1, "/") end,
    function() crypto.sha256("x") crypto.hmac("sha1", "k", "x") crypto.digest("none", "x") end,
    function() crypto.verify_password("x", crypto.hash_password("x")) end, function() crypto.sha1(strings.rep("x", 2 ^ 25)) end,
    function() form.parse({ CONTENT_TYPE = "multipart/form-data; boundary=x", CONTENT_LENGTH = "5" }, con) end,
    function() form.parse({ CONTENT_TYPE = "text/odd" }, con) end,
    function() con:header("X-A", "b") con:header("X-B: c") con:header({ ["X-C"] = "d" }) con:header("bad name", "x") end,
    function() con:status(404) con:status("200 Fine") con:puts("") con:log("x") con:parse("a=b") con:flush() end,
    function() io.write("a\nb") io.open("none") io.open("../canary.lua"):read("*l", "*n", 5) end,
    function() for _ in io.lines("../canary.lua") do end end, function() require "none.of.these" end,
    function() package.searchpath("a.b", "?;x/?.lua") end, function() os.remove("x") os.date("%Y") os.setlocale("C") end,
    function() debug.traceback("x") debug.getinfo(1) debug.getlocal(1, 1) end, function() dofile("none") end,
    function() (load or loadstring)("return 1", "=x") end, function() tostring({}) print("x", {}) end,
    function() table.concat({ "a", 1 }, ",") strings.find("x", "x") strings.rep("x", 3) end,
    function() coroutine.wrap(error)("x") end, function() error({}) end, function() setmetatable(con, {}) end,
    function() con.x = 1 end, function() string.format() end, function() table.insert(1) end, function() collectgarbage("x") end,
  } do
    pcall(use)
  end
  local found = heard
  for key in pairs(meta) do meta[key] = nil end
  meta.__index = index
  try(con, { [tostring(found)] = function() return found end })
end
