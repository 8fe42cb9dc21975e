-- attack: poison every library, global and the metatable of strings before the parts of Lua that come late are first used
-- expect: refused

function main(env, con)
  local asked
  local error = error
  local function trap() asked = true error("trapped") end
  local use = {
    traceback = debug.traceback, getinfo = debug.getinfo, count = collectgarbage, require = require, open = io.open,
    write = io.write, remove = os.remove, format = string.format, tostring = tostring, searchpath = package.searchpath,
    log10 = math.log10 or print, foreach = table.foreach or print, concat = table.concat, insert = table.insert, find = string.find,
    setlocale = os.setlocale, hook = debug.sethook, band = bit32 and bit32.band or print, cookie = con.cookie,
  }
  local globals, pcall, pairs, type = _G, pcall, pairs, type
  local names = {}
  for name in pairs(globals) do names[#names + 1] = name end
  for _, name in pairs(names) do
    local library = globals[name]
    if type(library) == "table" and library ~= globals then
      local members = {}
      for member, f in pairs(library) do if type(f) == "function" then members[#members + 1] = member end end
      for _, member in pairs(members) do library[member] = trap end
    elseif type(library) == "function" then
      globals[name] = trap
    end
  end
  pcall(function()
    use.traceback("x") use.getinfo(1) use.count("count") use.open("../canary.lua") use.write("x\n") use.remove("x")
    use.format("%s %5s %p", {}, "x", {}) use.tostring({}) use.searchpath("x", "?") use.log10(1) use.concat({ 1 })
    use.insert({}, 1, 1) use.find("x", "(x)[x]") use.setlocale() use.hook() use.band(1, 1) use.cookie(con, "a", "b", 1)
  end)
  pcall(use.format, "%s %5s %p", {}, "x", {})
  pcall(use.require, "md5")
  con:puts(asked and "ESCAPED" or "refused")
end
