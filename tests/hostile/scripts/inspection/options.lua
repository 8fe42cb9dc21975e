-- attack: ask getinfo, getlocal and traceback for what no script may know, by odd options and levels
-- expect: refused
local try, all_functions = require "try", require "functions"

function main(env, con)
  local attempts = {}
  for name, f in pairs(all_functions(con)) do
    attempts["where " .. name] = function()
      local info = debug.getinfo(f, "SlnuL") or {}
      return info.what ~= "C" or info.activelines or info.linedefined ~= -1 or info.nups ~= 0
    end
    attempts["parameters " .. name] = function()
      local ok, found = pcall(debug.getlocal, f, 1)
      return ok and found
    end
  end
  for _, option in ipairs { ">S", ">", "S>", "f>", "x", "\0", ("S"):rep(10) .. ">" } do
    attempts["option " .. option] = function() return debug.getinfo(print, option) end
  end
  for _, level in ipairs { 1e9, 2 ^ 31, 2 ^ 63, 1 / 0, 0 / 0, -2 ^ 31 } do
    attempts["level " .. level] = function() return debug.getinfo(level) end
    attempts["local " .. level] = function() return debug.getlocal(level, 1) end
    attempts["index " .. level] = function()
      local _, value = debug.getlocal(1, level)
      return value
    end
  end
  try(con, attempts)
end
