-- attack: unpack ranges whose size overflows (as in CVE-2025-46817)
-- expect: refused
local try = require "try"
local unpack = table.unpack or unpack

function main(env, con)
  local attempts = {}
  for name, range in pairs { whole = { -2 ^ 31, -1 }, half = { -2 ^ 30, 2 ^ 30 }, most = { 1, 2 ^ 31 - 1 },
    far = { 2 ^ 31 - 10, 2 ^ 31 + 10 }, wide = { 1, 1e7 }, low = { -2 ^ 53, 2 ^ 53 }, all = { -1e308, 1e308 } } do
    attempts[name] = function() return select("#", unpack({}, range[1], range[2])) > 100 end
  end
  if math.maxinteger then
    attempts.integers = function() return unpack({}, math.mininteger, math.maxinteger) end
    attempts.last = function() return unpack({}, math.maxinteger - 1, math.maxinteger) end
    attempts.first = function() return unpack({}, math.mininteger, math.mininteger + 1000000000) end
  end
  try(con, attempts)
end
