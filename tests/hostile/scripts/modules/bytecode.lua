-- attack: bytecode in every disguise, by every way that loads text
-- expect: refused
local try = require "try"

local HEADS = { "\27Lua", "\27LJ\2\8", "\27", "\27Luac", "\27Lua\84\0\25\147\r\n\26\n", "\239\187\191\27LJ\2\8", "#\n\27Lua", "#!x\n\27LJ\2" }

function main(env, con)
  local attempts = {}
  for index, head in ipairs(HEADS) do
    local text = head .. ("\0"):rep(100)
    for _, mode in ipairs { "b", "bt", "tb", "t", "", "B" } do
      attempts["text " .. mode .. index] = function() return load(text, "=x", mode) end
      attempts["pieces " .. mode .. index] = function()
        local at = 0
        return load(function() at = at + 1 return at <= #text and text:sub(at, at) or nil end, "@x", mode, {})
      end
    end
    attempts["plain" .. index] = function() return (loadstring or load)(text) end
    attempts["named" .. index] = function() return (loadstring or load)(text, text) end
    attempts["preload" .. index] = function()
      package.preload.code = text
      return type((require "code")) == "function"
    end
    attempts["searcher" .. index] = function()
      table.insert(package.searchers or package.loaders, 1, function() return text end)
      return require "some code"
    end
  end
  for _, name in ipairs { "../bytecode.lua", "../bytecode_bom.lua", "../bytecode_hash.lua" } do
    attempts["loadfile " .. name] = function() return loadfile(name, "b") or loadfile(name, "bt") or loadfile(name) end
    attempts["read " .. name] = function() return (load or loadstring)(io.open(name):read("*a"), "=x", "b") end
    attempts["lines " .. name] = function() return load(io.lines(name, 1), "=x", "b") end
  end
  for _, name in ipairs { "bytecode", "bytecode_bom", "bytecode_hash" } do
    attempts["require " .. name] = function() package.path = "../?.lua" return require(name) end
  end
  try(con, attempts)
end
