-- attack: overflow the stack by varargs (CVE-2014-5461)
-- expect: 200 alive or budget memory
local load_text = loadstring or load

function main(env, con)
  local function f(...) return f(..., 1, 2, 3, 4, 5, ...) end
  pcall(f, 1, 2, 3)
  local parameters = {}
  for index = 1, 180 do parameters[index] = "p" .. index end
  local g = load_text("local function g(" .. table.concat(parameters, ",") .. ", ...) return g(...) + 1 end return g")()
  pcall(g, 1)
  local unpack = table.unpack or unpack
  local t = {}
  for index = 1, 7000 do t[index] = index end
  pcall(function() local function h(...) return (h(...)) end return h(unpack(t)) end)
  con:puts("alive")
end
