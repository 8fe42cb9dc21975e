-- attack: give proxies of newproxy, with metamethods of all kinds, to whatever takes files, tables or text
-- only: luajit21
-- expect: refused
local luafarm, json, cookies = require "luafarm", require "json", require "luafarm.cookies"
local all_functions = require "functions"

local SKIPPED = { ["os.exit"] = true, ["con.finish"] = true, ["con.detach"] = true, ["con.puts"] = true, ["con.reset"] = true,
  ["luafarm.sleep"] = true }

function main(env, con)
  local proxy, told = newproxy(true), nil
  local meta = getmetatable(proxy)
  for _, name in ipairs { "__index", "__newindex", "__call", "__concat", "__len", "__eq", "__lt", "__le", "__unm", "__add",
    "__mode", "__name", "__pairs", "__gc", "__metatable" } do
    meta[name] = function(...)
      for index = 1, select("#", ...) do
        local value = (select(index, ...))
        if type(value) == "table" and value ~= con and (rawget(value, "native") or rawget(value, "library")) then
          told = name
        end
      end
      return proxy
    end
  end
  meta.__tostring = function() return proxy end
  local copy = newproxy(proxy)
  for name, f in pairs(all_functions(con)) do
    if not SKIPPED[name] then
      pcall(f, proxy)
      pcall(f, proxy, copy, proxy)
      pcall(f, "x", proxy, copy)
      pcall(f, con, proxy)
      pcall(f, {}, proxy)
      pcall(f, io.stdout, proxy)
    end
  end
  for key in pairs(package.loaded) do
    if type(key) == "userdata" then package.loaded[key] = nil end
  end
  if getmetatable(proxy) ~= meta or io.type(proxy) or told then con:puts("ESCAPED ") end
  if type(tostring(1)) ~= "string" or luafarm.now() < 0 or json.encode(1) ~= "1" or not cookies.parse(env) then
    con:puts("ESCAPED ")
  end
  con:status(200)
  con:puts("refused")
end
