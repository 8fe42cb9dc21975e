-- A state on the same VM host, which lives on: it must find all as it left it.
local fingerprint = require "fingerprint"
local shared = require "shared"
local before  -- fingerprint at the first request
local served = 0
local strings, noon = getmetatable(""), os.time { year = 2026, month = 7, day = 1, hour = 12 }
local day = os.date("%c", noon)

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
  if getmetatable("") ~= strings or strings.__index ~= string then con:puts("a metatable of strings; ") end
  if os.time { year = 2026, month = 7, day = 1, hour = 12 } ~= noon or os.date("%c", noon) ~= day then
    con:puts("another time zone; ")
  end
  if getmetatable(io.stdout) or io.type(io.stdout) ~= "file" or (1.5 .. "") ~= "1.5" then
    con:puts("another process; ")
  end
  if #package.path ~= 20 or #(package.searchers or package.loaders) ~= 3 then con:puts("other searchers; ") end
  con:puts("served " .. served)
end
