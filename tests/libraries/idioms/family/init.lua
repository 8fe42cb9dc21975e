-- A library of several files that finds its parts by the name it was asked for, and those that are
-- rarely used when they are first named.
local name = ...
local M = { name = name }
M.near = require(name .. ".near")
return setmetatable(M, {
  __index = function(self, key)
    local ok, found = pcall(require, name .. "." .. key)
    if not ok then return nil end
    rawset(self, key, found)
    return found
  end,
  __tostring = function() return "family with " .. require(name .. ".far").word end,
})
