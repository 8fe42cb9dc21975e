-- attack: let module() write into the farm's tables or give out other globals
-- only: luajit21
-- expect: refused
local try = require "try"
local luafarm = require "luafarm"

function main(env, con)
  con_here, env_here = con, env
  try(con, {
    con = function() module("con_here.puts") return true end,
    luafarm = function() module("luafarm.sleep") return true end,
    state = function() module("luafarm.state.id") return true end,
    broken = function() return type(luafarm.sleep) ~= "function" or type(con.puts) ~= "function" end,
    io = function() module("io", package.seeall) return getfenv(io.open) ~= _G end,
    seeall = function()
      local t = {}
      package.seeall(t)
      return getmetatable(t).__index ~= _G
    end,
    seeall_sealed = function() package.seeall(con) return con.print end,
  })
end
