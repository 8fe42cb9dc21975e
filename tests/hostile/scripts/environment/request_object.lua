-- attack: change the request object, or make another one
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {
    assign = function() con.puts = print return true end,
    new_field = function() con.mine = 1 return true end,
    rawset = function() rawset(con, "puts", print) return true end,
    setmetatable = function() setmetatable(con, {}) return true end,
    getmetatable = function() return getmetatable(con) end,
    heir = function() setmetatable({}, { __index = con }):puts("ESCAPED") return true end,
    other_self = function() con.puts({}, "ESCAPED") return true end,
    no_self = function() con.puts("ESCAPED") return true end,
    next = function() return next(con) end,
    rawget = function() return rawget(con, "puts") end,
    changed = function() return type(con.puts) ~= "function" end,
  }
  try(con, attempts)
end
