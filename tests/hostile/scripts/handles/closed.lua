-- attack: use files that are closed, standard streams as files, and what is no file at all
-- expect: refused
local try = require "try"

function main(env, con)
  local file = io.open("../canary.lua")
  local lines, iterator = file:lines(), io.lines("../canary.lua")
  local methods = {}
  for _, name in ipairs { "read", "lines", "write", "seek", "close", "flush", "setvbuf" } do methods[name] = file[name] end
  file:close()
  local attempts = {
    iterator = function() return lines() end,
    over = function() for _ in iterator do end return iterator() end,
    standard = function() return io.stdout:close() end,
    reading = function() return io.stdin:read("*a") ~= "" or io.stdout:read("*a") end,
    seeking = function() return io.stdout:seek("set", 2 ^ 40) end,
    type = function() return io.type(setmetatable({}, { __index = io.stdout, __name = "FILE*" })) end,
    close_again = function() return file:close() end,
  }
  for name, method in pairs(methods) do
    attempts["closed " .. name] = function() return method(file) end
    for kind, value in pairs { number = 1, text = "x", table = {}, f = print, con = con,
      false_one = setmetatable({}, { __index = io.stdout }), thread = coroutine.create(print) } do
      attempts[name .. " of " .. kind] = function() method(value) return true end
    end
  end
  try(con, attempts)
end
