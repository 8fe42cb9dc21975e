-- A state on the same VM host, which lives on: it must find all as it left it.
local fingerprint = require "fingerprint"
local shared = require "shared"
local before  -- fingerprint at the first request
local served = 0

math.randomseed(7)
local drawn = {}
for index = 1, 3 do drawn[index] = math.random(1e6) end
math.randomseed(7)

function main(env, con)
  served = served + 1
  for index = 1, 3 do
    if math.random(1e6) ~= drawn[index] then con:puts("random numbers of another state; ") end
  end
  math.randomseed(7)
  before = before or fingerprint(_G)
  if fingerprint(_G) ~= before then con:puts("other globals; ") end
  if shared.value ~= "as it was written" then con:puts("a changed module; ") end
  if getmetatable("") ~= false then con:puts("a metatable of strings; ") end
  con:puts("served " .. served)
end
