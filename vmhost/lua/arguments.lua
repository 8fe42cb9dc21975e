-- Errors of arguments as Lua words them, for those of our functions that stand for native
-- ones: they name the function as the script called it, and the script's line.
--
-- Provides: argument, expected, fill.
local T = ...
local error, getinfo, rawget, type = T.native.error, T.library.debug.getinfo, T.native.rawget, T.native.type
local metatable_of = T.library.debug.getmetatable
local format, gsub = T.library.string.format, T.library.string.gsub

-- Raise the error for an argument of the function that calls this one.
-- name: the function's, with its library. above: functions of ours between it and this call.
local function argument(index, name, why, above)
  local level = 2 + (above or 0)
  local info = getinfo(level, "n")
  local called = info and info.name
  if called and info.namewhat == "method" then
    index = index - 1
    if index == 0 then error("calling '" .. called .. "' on bad self", level + 1) end
  end
  if not called then called = T.is51 and "?" or name end
  error("bad argument #" .. index .. " to '" .. called .. "' (" .. why .. ")", level + 1)
end
T.argument = argument

-- The same for a wrong type. is_absent: there is no such argument.
function T.expected(index, name, wanted, value, is_absent, above)
  local kind = type(value)
  if is_absent then
    kind = "no value"
  elseif kind == "table" and T.version >= 5.3 then
    local meta = metatable_of(value)
    local own = meta and rawget(meta, "__name")
    if type(own) == "string" then kind = own end
  end
  argument(index, name, wanted .. " expected, got " .. kind, (above or 0) + 1)
end

-- A template of ours with texts and numbers in the places of %s, %d and %f. Lua's own `format`
-- asks the metatable of strings what a text is, and that is the script's.
function T.fill(template, ...)
  local values, at = { ... }, 0
  return (gsub(template, "%%([%d.]*[sdf])", function(form)
    at = at + 1
    return form == "s" and values[at] or format("%" .. form, values[at])
  end))
end
