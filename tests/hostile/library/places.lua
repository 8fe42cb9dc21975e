-- Where functions of ours and of C call back: each calls look() from there.
local luafarm, form, json = require "luafarm", require "luafarm.form", require "json"

local function object(look)
  local function f() look() return "x" end
  return setmetatable({}, { __index = f, __newindex = f, __tostring = f, __call = f, __len = function() look() return 1 end,
    __pairs = function() look() return next, {}, nil end, __concat = f, __lt = f, __eq = f, __unm = f })
end

local unsorted = { 3, 1, 2 }

return {
  here = function(_, look) look() end,
  pcall = function(_, look) pcall(look) end,
  nested = function(_, look) pcall(pcall, pcall, look) end,
  xpcall = function(_, look) xpcall(look, print) end,
  handler = function(_, look) xpcall(error, look) end,
  sort = function(_, look) table.sort({ 3, 1, 2 }, function(a, b) look() return a < b end) end,
  gsub = function(_, look) ("abc"):gsub(".", function() look() end) end,
  gsub_object = function(_, look) ("abc"):gsub(".", object(look)) end,
  coroutine = function(_, look) coroutine.wrap(look)() end,
  coroutines = function(_, look) coroutine.wrap(function() coroutine.resume(coroutine.create(look)) end)() end,
  load = function(_, look) (load or loadstring)(function() look() end) end,
  tostring = function(_, look) tostring(object(look)) end,
  format = function(_, look) ("%s"):format(object(look)) end,
  print = function(_, look) print(object(look)) end,
  log = function(_, look) luafarm.log("info", object(look)) end,
  concat = function(_, look) pcall(table.concat, object(look)) end,
  sort_object = function(_, look) pcall(table.sort, object(look)) end,
  insert_object = function(_, look) pcall(table.insert, object(look), 1, 1) end,
  pairs = function(_, look) for _ in pairs(object(look)) do end end,
  require = function(_, look)
    package.preload.looks = look
    pcall(require, "looks")
    package.loaded.looks = nil
  end,
  searcher = function(_, look)
    local searchers = package.searchers or package.loaders
    table.insert(searchers, 1, function() look() end)
    pcall(require, "none at all")
    table.remove(searchers, 1)
  end,
  loaded = function(_, look)
    setmetatable(package.loaded, { __index = function() look() end })
    pcall(require, "none of all")
    setmetatable(package.loaded, nil)
  end,
  header = function(con, look) pcall(con.header, con, { ["X-A"] = setmetatable({}, { __index = function() look() end }) }) end,
  cookies = function(con, look) pcall(require("luafarm.cookies").parse, object(look)) end,
  form = function(con, look) pcall(form.parse, object(look), con) end,
  parse = function(con, look) pcall(con.parse, con, "a=b", object(look)) end,
  json = function(_, look) pcall(json.decode, "[]", object(look)) end,
  date = function(_, look) pcall(os.time, object(look)) end,
  foreach = function(_, look) if table.foreach then table.foreach({ 1 }, look) end end,
  metamethod = function(_, look) local _ = object(look).x end,
  comparison = function(_, look) local _ = object(look) < object(look) end,
  loop = function(_, look) for _ in look do break end end,
  string = function(_, look)
    local meta = getmetatable("")
    local before = meta.__tostring
    meta.__tostring = function(s) meta.__tostring = before look() return s end
    pcall(string.format, "%s", "x")
    meta.__tostring = before
  end,
  unsorted = function(_, look)
    local less = setmetatable({}, { __lt = function() look() return false end })
    pcall(table.sort, { less, less, unsorted and less })
  end,
}
