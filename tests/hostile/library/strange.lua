-- Whether a value is neither a script's own nor one that it can name: a function of ours that it
-- was not given, or a table of ours.
local all_functions = require "functions"

local known

return function(value, con, env)
  local kind = type(value)
  if kind == "function" then
    if debug.getinfo(value, "S").what ~= "C" then return false end
    if not known then
      known = {}
      for _, f in pairs(all_functions(con)) do known[f] = true end
    end
    return not known[value] and not debug.getinfo(value, "S").source:find("^@")
  elseif kind == "table" and value ~= con then
    return rawget(value, "native") ~= nil or rawget(value, "library") ~= nil or rawget(value, "TOKEN") ~= nil
      or rawget(value, "stopped") ~= nil or rawget(value, "FILE") ~= nil or rawget(value, "trusted") ~= nil
      or rawget(value, "_LOADED") ~= nil or rawget(value, "is_closed") ~= nil or rawget(value, "is_standard") ~= nil
  elseif kind == "userdata" then
    return not io.type(value)
  end
  return false
end
