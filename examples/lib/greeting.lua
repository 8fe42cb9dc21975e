-- A module: a file that returns a table of functions. See modules.lua.
local greeting = {}

-- The greeting for an hour, 0 to 23.
function greeting.at(hour)
  if hour < 5 then return "Good night" end
  if hour < 12 then return "Good morning" end
  if hour < 18 then return "Good afternoon" end
  return "Good evening"
end

-- The greeting for somebody, now.
function greeting.to(name)
  local hour = os.date("*t").hour
  if name == nil or name == "" then return greeting.at(hour) .. "!" end
  return greeting.at(hour) .. ", " .. name .. "!"
end

return greeting
