-- attack: ask for sizes far beyond the limit at once
-- expect: refused or budget memory
local try = require "try"

function main(env, con)
  local half = ("x"):rep(5000000)
  try(con, {
    rep = function() return ("x"):rep(15000000) end,
    concat = function() return half .. half .. half end,
    table_concat = function() return table.concat({ half, half, half }) end,
    format = function() return ("%s%s%s"):format(half, half, half) end,
    gsub = function() return half:gsub(".", "%0%0%0%0") end,
    create = function() return table.create and table.create(2 ^ 26) end,
    unpack = function() return #{ (table.unpack or unpack)({}, 1, 900000) } > 1e9 end,
    pack = function() return string.pack and string.pack("s8s8s8", half, half, half) end,
  })
end
