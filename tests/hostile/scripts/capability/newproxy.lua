-- attack: make userdata with a finalizer
-- expect: refused
local try = require "try"

function main(env, con)
  try(con, {
    global = function() return newproxy end,
    make = function() getmetatable(newproxy(true)).__gc = function() end return true end,
  })
end
