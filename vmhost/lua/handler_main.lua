-- luafcgid from 2010 to 2013: global main(env, con), or the name in the setting `handler`.
local T = ...
local env, con, name = T.environment, T.con, T.config.handler
local error, rawget, type = T.native.error, T.native.rawget, T.native.type

T.adapters[#T.adapters + 1] = {
  find = function() return type(rawget(env, name)) == "function" end,
  run = function(params)
    local main = rawget(env, name)
    if type(main) ~= "function" then error(name .. "() function not found", 0) end
    main(params, con)
  end,
}
