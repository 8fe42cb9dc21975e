-- attack: let go of files and collect them while they are read
-- expect: 200 alive
function main(env, con)
  for _ = 1, 300 do
    local file = io.open("../canary.lua")
    local lines = file:lines()
    file = nil
    collectgarbage()
    for _ in lines do collectgarbage("step") break end
    for _ in io.lines("../canary.lua") do collectgarbage("step") end
  end
  collectgarbage()
  io.stdout:write("still there\n")
  con:puts(io.type(io.stdout) == "file" and "alive" or "dead")
end
