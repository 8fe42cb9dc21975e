-- attack: find values that other scripts and other requests have left in the same process
-- expect: refused
-- asks: 2
local try = require "try"

local mark = { requests = 0 }

function main(env, con)
  mark.requests = mark.requests + 1
  local seen = {}
  local function leaks(value)
    if type(value) ~= "table" or seen[value] then return false end
    seen[value] = true
    if rawget(value, "requests") and value ~= mark and value ~= require("luafarm").state then return true end
    for _, inner in pairs(value) do if leaks(inner) then return true end end
  end
  try(con, {
    globals = function() return served or neighbour or drawn or kept end,
    loaded = function() return leaks(package.loaded) end,
    modules = function()
      for _, name in ipairs { "json", "md5", "luafarm.cookies" } do
        if rawget(require(name), "x") then return true end
      end
    end,
    shared = function() return require("shared").value ~= "as it was written" end,
    strings = function() return getmetatable("").__index ~= string or getmetatable("").__name end,
    cookies = function() return next(require("luafarm.cookies").parse(env)) end,
    timers = function() return ngx or apache2 end,
    log = function() return io.read() or io.stdin:read("*a") ~= "" end,
  })
end
