-- How scripts of a dialect of handlers are told apart and called. The first adapter whose
-- `find` knows the script serves it: fields
--   find()    what the loaded script offers for it, or nil
--   run(env)  serve one request; it puts its output to the reply
-- A further dialect (mod_lua, WSAPI) is a further file that adds one.
--
-- Provides: adapters.
local T = ...

T.adapters = {}
