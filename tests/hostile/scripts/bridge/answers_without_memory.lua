-- attack: fill the memory while an operation travels through coroutines, then answer it
-- expect: 200 refused or budget memory or 500 not enough memory or 500 given up
local luafarm = require "luafarm"

function main(env, con)
  local keep = {}
  pcall(function() while true do keep[#keep + 1] = ("x"):rep(5000) .. #keep end end)
  pcall(function() while true do keep[#keep + 1] = {} end end)
  local thread = coroutine.create(function() return luafarm.read("forged.txt") end)
  local ok, found = pcall(coroutine.resume, thread)
  local again, answer, content = coroutine.resume(thread, true, "forged")
  keep = nil
  con:puts((content == "forged" or answer == "forged") and "ESCAPED" or "refused")
end
