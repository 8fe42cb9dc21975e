-- attack: get behind the table of request parameters, and change it for later requests
-- expect: refused
-- asks: 3
local try = require "try"
local show, raw, each = _G["get" .. "metatable"], _G["raw" .. "get"], _G["ne" .. "xt"]
local kept

function main(env, con)
  local attempts = {
    shown = function() return show(env) end,
    through = function() return show(setmetatable({}, { __index = env })).__index ~= env end,
    hidden = function()
      for key, value in each, env do
        if type(key) ~= "string" or raw(env, key) ~= value then return true end
      end
    end,
    error_object = function()
      local _, object = pcall(error, env)
      return show(object)
    end,
    -- a name that is no name: of great length, with the bytes of lengths, no string
    names = function()
      for _, name in ipairs { ("x"):rep(1e6), "", "\255\255\255\255\255", "\0\0", "\14\3" } do
        if env[name] ~= nil then return true end
      end
      return env[1] or env[env] or env[main] or env[-1 / 0]
    end,
    value_as_name = function()
      return env["uery"] or env[env.REQUEST_METHOD] or env["METHOD" .. env.REQUEST_METHOD]
    end,
    mark = function() return env.MARK or env.LUAFCGID_VERSION ~= 1 end,
    of_another = function() return kept and (kept == env or kept.MARK ~= "set") end,
  }
  try(con, attempts)
  env.MARK, env.LUAFCGID_VERSION, env.REQUEST_METHOD = "set", "2", nil
  setmetatable(env, { __index = function() return "ESCAPED" end })
  kept = env
end
