-- How a script's handler is found and called, luafcgid's and those of other servers.
--
-- The first adapter whose `find` knows the script serves it: fields
--   find()    what the loaded script offers for it, or nil
--   run(env)  serve one request; it puts its output to the reply
-- Only when none of luafcgid's knows a script are the others asked. Their code comes from the
-- host when it is needed, so that states of scripts of our own hold nothing of it.
--
-- Provides: adapters, adapter_of, before_exit.
local T = ...
local find, gsub = T.library.string.find, T.library.string.gsub
local ipairs = T.native.ipairs

local adapters = {}
T.adapters = adapters
T.before_exit = {}  -- functions that give the reply what an adapter still holds, on `os.exit`

local MAIN = "function%s+" .. gsub(T.config.handler, "%W", "%%%0") .. "%s*%("

-- Run the main chunk and return what serves the requests, or nil. path: the script's.
function T.adapter_of(chunk, source, path)
  -- A text that defines luafcgid's function where a line begins is no other server's, whatever
  -- it mentions. Of others it is found out over there, at the price of that code.
  local plain = find(source, "\n[ \t]*" .. MAIN) or find(source, "^" .. MAIN)
  if plain then
    chunk()
    for _, adapter in ipairs(adapters) do
      if adapter.find() then return adapter.run end
    end
  end
  return T.late("foreign_handlers")(chunk, source, path, plain)
end
