-- attack: replace every library function, so that the farm's own code calls the script's
-- expect: 200 served
-- asks: 3
local pairs, type = pairs, type
local function poison() error("ESCAPED: called by the farm") end

for _, library in ipairs { "string", "table", "math", "os", "coroutine", "bit", "bit32", "utf8" } do
  for name, value in pairs(_G[library] or {}) do
    if type(value) == "function" then _G[library][name] = poison end
  end
end
for name, value in pairs(_G) do
  if type(value) == "function" and name ~= "main" then _G[name] = poison end
end

function main(env, con)
  con:header("X-Test", "1")
  con:cookie("a", "b", 0, "/")
  con:log("a line")
  con:puts("served")
  con:flush()
end
