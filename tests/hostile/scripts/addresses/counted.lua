-- attack: get a real address of an object, which is no number that the state counts, by every way that names one
-- expect: refused
local try = require "try"

function main(env, con)
  local function number(text) return tonumber((tostring(text):match("0x%x+"))) end
  local ways = {
    tostring = tostring, format = function(v) return ("%s"):format(v) end, wide = function(v) return ("%-60s|"):format(v) end,
    pointer = function(v) return select(2, pcall(string.format, "%p", v)) end,
    wide_pointer = function(v) return select(2, pcall(string.format, "%30p", v)) end,
    odd_pointer = function(v) return select(2, pcall(string.format, "%%%s%+010.3p", "x", v)) end,
    quoted = function(v) return select(2, pcall(string.format, "%q", v)) end,
    concat = function(v) return select(2, pcall(table.concat, { v })) end,
    add = function(v) return select(2, pcall(function() return v + 1 end)) end,
    call = function(v) return select(2, pcall(function() return v.x.y() end)) end,
    error = function(v) return select(2, pcall(error, v)) end,
    json = function(v) return select(2, pcall(require("json").encode, { [v] = v })) end,
    serialize = function(v) return select(2, pcall(require("luafcgid").serialize, { [v] = v })) end,
    header = function(v) return select(2, pcall(con.header, con, { [v] = v })) end,
    cookie = function(v) return select(2, pcall(require("luafarm.cookies").set, con, "a", "b", { [v] = v })) end,
    form = function(v) return select(2, pcall(require("luafarm.form").parse, env, con, { [v] = v })) end,
    crypto = function(v) return select(2, pcall(require("luafarm.crypto").digest, v, v)) end,
    require = function(v) return select(2, pcall(require, v)) end,
    option = function(v) return select(2, pcall(collectgarbage, v)) end,
    mode = function(v) return select(2, pcall(load or print, "x", "x", v)) end,
    seek = function(v) return select(2, pcall(io.stdin.seek, io.stdin, v)) end,
    number = function(v) return tonumber(v) end,
    sealed = function(v) return select(2, pcall(function() con[v] = 1 end)) end,
    traceback = function(v) return debug.traceback(v) end,
    info = function(v) return type(v) == "function" and debug.getinfo(v).short_src end,
    id = function(v) return type(v) == "function" and select(2, pcall(debug.upvalueid, v, 1)) end,
  }
  local makers = { table = function() return {} end, ["function"] = function() local own = {} return function() return own end end,
    thread = function() return coroutine.create(main) end, file = function() return setmetatable({}, { __name = "FILE*" }) end }
  local attempts, step = {}, number({})
  step = number({}) - step
  for name, way in pairs(ways) do
    for kind, make in pairs(makers) do
      attempts[name .. " of a " .. kind] = function()
        local first = number({})
        local found = way(make())
        if type(found) == "table" then return false end
        local told = type(found) == "string" and number(found) or type(found) == "number" and found
        return told and told ~= first + step
      end
    end
  end
  try(con, attempts)
end
