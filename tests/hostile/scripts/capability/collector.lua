-- attack: stop or tune the collector, so that memory is used up by garbage
-- expect: 200 alive
function main(env, con)
  for _, what in ipairs { "stop", "restart", "setpause", "setstepmul", "setmajorinc", "generational", "incremental", "isrunning",
    "param", "stop" } do
    for _, value in ipairs { 0, 1e9, -1, 1e300, "x", {} } do
      pcall(collectgarbage, what, value)
      pcall(collectgarbage, what, "pause", value)
      pcall(collectgarbage, what, "stepmul", value)
    end
  end
  for index = 1, 300000 do local _ = { ("x"):rep(100) .. index } end
  con:puts("alive")
end
