-- attack: use every service of the farm with no byte left
-- expect: budget memory or 500 not enough memory or 200 left
-- asks: 3
local luafarm, md5, json = require "luafarm", require "md5", require "json"
kept = {}

function main(env, con)
  pcall(function() while true do kept[#kept + 1] = ("x"):rep(50) .. #kept end end)
  pcall(function() while true do kept[#kept + 1] = {} end end)
  for index = 1, 30 do
    pcall(con.puts, con, ("left"):rep(10) .. index)
    pcall(con.header, con, "X-A" .. index, index)
    pcall(con.flush, con)
    pcall(print, index)
    pcall(luafarm.now)
    pcall(luafarm.read, "strings.lua")
    pcall(md5.digest, "x" .. index)
    pcall(json.decode, "[1, 2, 3]")
    pcall(require, "none" .. index)
    pcall(coroutine.wrap(function() pcall(luafarm.sleep, 0) end))
    pcall(xpcall, error, function() return {} end)
  end
  error({})
end
