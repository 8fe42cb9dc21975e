-- attack: take the metatable of strings away, for the farm's own code and the end of the request too
-- expect: 500 boom
local luafarm, json = require "luafarm", require "json"

function main(env, con)
  debug.setmetatable("", nil)
  con:header("X-A", "b")
  json.decode(json.encode { a = "b" })
  luafarm.log("info", "x")
  io.write("x\n")
  pcall(require, "none")
  require("luafarm.cookies").set(con, "a", "b")
  print(debug.traceback("x"))
  error("boom")
end
