-- luafcgid's README of 2009: global handler() without arguments returns the body.
local T = ...
local env = T.environment
local error, rawget = T.native.error, T.native.rawget
local tostring, type = T.native.tostring, T.native.type

T.adapters[#T.adapters + 1] = {
  find = function() return type(rawget(env, "handler")) == "function" end,
  run = function()
    local handler = rawget(env, "handler")
    if type(handler) ~= "function" then error("handler() function not found", 0) end
    local body = handler()
    if type(body) ~= "string" and type(body) ~= "number" then
      error("handler() must return string", 0)
    end
    if type(body) == "number" then body = tostring(body) end  -- of a string the script decides
    T.put(body)
  end,
}
