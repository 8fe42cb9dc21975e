-- Fails on purpose.
--
-- The HTTP listener of `luafarm up` shows the developer's page: the message, the source
-- around the line, the traceback. Behind a web server visitors get a short page, or
-- none of the details with `[front] show_errors = false`; the traceback goes to the
-- web server's error log and to luafarm's.
local prices = { apple = 0.30, pear = 0.45 }

local function cost(item, count)
  return prices[item] * count
end

local function total(basket)
  local sum = 0
  for item, count in pairs(basket) do
    local price = cost(item, count)
    sum = sum + price
  end
  return sum
end

function main(env, con)
  con:puts("This is not sent: an error drops what was not flushed.")
  local sum = total { plum = 3 }  -- nobody has given a price for plums
  con:puts(string.format("%.2f", sum))
end
