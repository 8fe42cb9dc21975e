-- The handlers of other servers, told apart when a script without luafcgid's is loaded.
--
--   global handle(r)                           mod_lua
--   the module that the main chunk made, with `run`, or what it returned: a function, a table
--   with `run`, a module's name                WSAPI
--   none of these functions begins a line of its text, which uses `ngx.` or requires lapis, and
--   does not mention wsapi: the chunk is the handler of ngx, and is not run before a request
--
-- luafcgid's own functions go before all of them. Returns what runs the main chunk, unless it
-- has run already, and says what serves the requests.
local T = ...
local find, gsub, match = T.library.string.find, T.library.string.gsub, T.library.string.match
local sub = T.library.string.sub
local concat = T.library.table.concat
local getfenv, rawequal, rawget = T.native.getfenv, T.native.rawequal, T.native.rawget
local env, ipairs, type = T.environment, T.native.ipairs, T.native.type

local MAIN = gsub(T.config.handler, "%W", "%%%0")

local mod_lua

-- Whether a line of the text begins with a definition of the global function.
local function defines(source, name)
  for _, line in ipairs { "function%s+" .. name .. "%s*%(", name .. "%s*=[^=]" } do
    if find(source, "^[ \t]*" .. line) or find(source, "\n[ \t]*" .. line) then return true end
  end
end

-- The text without its comments. What looks like one in a string goes as well: no harm here.
local function without_comments(source)
  local pieces, count, at = {}, 0, 1
  while true do
    local first = find(source, "--", at, true)
    count = count + 1
    if not first then
      pieces[count] = sub(source, at)
      return concat(pieces, "", 1, count)
    end
    pieces[count] = sub(source, at, first - 1)
    local level = match(source, "^%[(=*)%[", first + 2)
    local _, last = level and find(source, "]" .. level .. "]", first + 2, true)
    at = last and last + 1 or find(source, "\n", first, true) or #source + 1
  end
end

local adapter_for

-- What serves a script of ngx, which is not run before a request; or nil.
local function without_loading(chunk, source)
  if not find(source, "ngx", 1, true) and not find(source, "lapis", 1, true) then return nil end
  source = without_comments(source)
  local named = find(source, "%f[%w_]ngx[%.%[]") or find(source, "require%s*[\"']lapis[\"'.]")
    or find(source, "require%s*%(%s*[\"']lapis[\"'.]")
  if not named or find(source, "wsapi", 1, true) then return nil end
  for _, name in ipairs { MAIN, "handler", "handle" } do
    if defines(source, name) then return nil end
  end
  return T.late("foreign_ngx")(chunk, adapter_for)
end

-- Run the main chunk and return its result.
local function load(chunk, source, path)
  if defines(source, "handle") then mod_lua = T.late("foreign_modlua") end
  if find(source, "%f[%w_]module%s*%(%s*%.%.%.") then
    return chunk((gsub(match(path, "[^/]*$"), "%.[^.]*$", "")))
  end
  return chunk()
end

-- The table that `module` in the main chunk made, or nil.
local function made_module(chunk)
  local found = getfenv and getfenv(chunk)
  if found and not rawequal(found, env) and type(rawget(found, "run")) == "function" then
    return found
  end
end

-- What serves a script whose main chunk returned value, or nil.
function adapter_for(chunk, value)
  for _, adapter in ipairs(T.adapters) do
    if adapter.find() then return adapter.run end
  end
  if type(rawget(env, "handle")) == "function" then return (mod_lua or T.late("foreign_modlua")).run end
  local application, kind = value, type(value)
  if kind ~= "function" and kind ~= "table" and kind ~= "string" then
    application = made_module(chunk)
  end
  return application ~= nil and T.late("foreign_wsapi")(application) or nil
end

return function(chunk, source, path, has_run)
  if has_run then return adapter_for(chunk, nil) end
  return without_loading(chunk, source) or adapter_for(chunk, load(chunk, source, path))
end
