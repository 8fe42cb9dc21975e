-- The first script of luafcgid's README of 2009, written anew.
--
-- The oldest form of a handler: a global function without arguments, whose result is the
-- body. Status and headers are the defaults. What stands outside of it runs once, when
-- the state is loaded.
local text = "Hello World"

function handler()
  return text
end
