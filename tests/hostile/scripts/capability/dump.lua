-- attack: get bytecode of functions, to change and load it again
-- expect: refused
local try = require "try"

local function secret() return "attack" end

function main(env, con)
  local load = loadstring or load
  try(con, {
    loaded = function() return load(string.dump(secret)) end,
    loaded_as_binary = function() return _VERSION ~= "Lua 5.1" and load(string.dump(secret), "x", "b") end,
    content = function() return string.dump(secret):find("attack", 1, true) end,
    code = function() return #string.dump(secret) > 40 end,
    difference = function() return string.dump(secret) ~= string.dump(main) end,
    method = function() return #("").dump(main, true) > 40 end,
    ours = function() return string.dump(require) end,
    native = function() return string.dump(string.format) end,
    api = function() return string.dump(con.puts) end,
  })
end
