-- Every function that a script is given by the farm, by a name of where it was found: the
-- libraries', the modules', those of objects, and closures that functions of ours return.
return function(con)
  local found, seen = {}, {}
  local function walk(value, name)
    if type(value) == "function" then
      found[name] = value
    elseif type(value) == "table" and not seen[value] then
      seen[value] = true
      for key, inner in pairs(value) do walk(inner, name .. "." .. tostring(key)) end
    end
  end
  for _, name in ipairs { "string", "table", "math", "os", "io", "debug", "coroutine", "jit", "bit", "bit32", "utf8" } do
    walk(_G[name], name)
  end
  for _, name in ipairs { "assert", "collectgarbage", "dofile", "error", "gcinfo", "getfenv", "getmetatable", "ipairs", "load",
    "loadfile", "loadstring", "module", "newproxy", "next", "pairs", "pcall", "print", "rawequal", "rawget", "rawlen", "rawset",
    "require", "select", "setfenv", "setmetatable", "tonumber", "tostring", "type", "unpack", "warn", "xpcall" } do
    walk(_G[name], name)
  end
  for _, name in ipairs { "loadlib", "searchpath", "seeall" } do walk(package[name], "package." .. name) end
  for index, searcher in ipairs(package.searchers or package.loaders) do walk(searcher, "searcher " .. index) end
  for _, name in ipairs { "luafarm", "luafarm.form", "luafarm.cookies", "luafarm.crypto", "luafcgid", "json", "md5",
    "base64" } do
    walk(require(name), name)
  end
  walk(con, "con")
  for _, name in ipairs { "read", "write", "lines", "seek", "close", "flush", "setvbuf" } do
    walk(io.stdout[name], "file:" .. name)
  end
  walk(coroutine.wrap(print), "wrapped")
  walk(("x"):gmatch("."), "gmatch")
  walk(io.stdin:lines(), "lines")
  walk((ipairs {}), "ipairs' iterator")
  walk((pairs(con)), "pairs' iterator")
  return found
end
