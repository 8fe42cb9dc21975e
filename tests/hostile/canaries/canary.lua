-- A fresh state for each request: it must find what every fresh state finds.
local fingerprint = require "fingerprint"
local shared = require "shared"

function main(env, con)
  con:header("Content-Type", "text/plain")
  con:puts(shared.value .. "\n")
  con:puts(env.QUERY_STRING .. " " .. env.REQUEST_METHOD .. " " .. tostring(con:gets()) .. "\n")
  con:puts(("%s %d %s"):format(("abc"):upper():rep(2), #"four", ("a-b"):gsub("-", "+")) .. "\n")
  con:puts(os.date("%c", 15e8) .. " " .. os.date("%H", os.time { year = 2026, month = 7, day = 1 }) .. "\n")
  con:puts(io.type(io.stdout) .. " " .. package.path .. "\n")
  con:puts(require("luafarm.crypto").sha1("x") .. " " .. debug.getinfo(1, "S").what .. "\n")
  con:puts(fingerprint(_G))
end
