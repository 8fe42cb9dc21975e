-- attack: show a harmless __metatable in place of the real one with __len
-- expect lua52 lua53 lua54 lua55: refused
-- expect luajit21: 200 refused
local try = require "try"

function main(env, con)
  local function far() return setmetatable({}, { __metatable = {}, __len = function() return 2 ^ 45 end }) end
  if jit or #far() == 0 then return con:puts("refused") end  -- tables have no __len here
  try(con, {
    insert = function() table.insert(far(), 1, "x") return true end,
    remove = function() table.remove(far(), 1) return true end,
    concat = function() return table.concat(far()) ~= "" end,  -- 5.2 takes 2 ^ 45 for 0
    sort = function() table.sort(far(), function() return false end) return true end,
  })
end
