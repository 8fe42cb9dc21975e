-- attack: look into coroutines that wait inside the farm's functions
-- expect: refused
local try, strange = require "try", require "strange"

function main(env, con)
  strange(print, con, env)  -- learns what is given, where nothing calls back
  local searchers = package.searchers or package.loaders
  local wait = coroutine.yield
  table.insert(searchers, 1, function(name) if name == "waits.search" then wait() end end)
  package.preload["waits.load"] = function() wait() end
  local waiting = {
    require = function() require "waits.load" end,
    search = function() require "waits.search" end,
    pcall = function() pcall(wait) end,
    xpcall = function() xpcall(wait, print) end,
    inner = function() coroutine.wrap(function() pcall(pcall, wait) end)() wait() end,
    handler = function() pcall(function() pcall(wait) end) end,
    iterator = function() for _ in wait do break end end,
  }
  local attempts = {}
  for name, f in pairs(waiting) do
    attempts[name] = function()
      local thread = coroutine.create(f)
      coroutine.resume(thread)
      for level = 0, 30 do
        for index = -10, 60 do
          local ok, named, value = pcall(debug.getlocal, thread, level, index)
          if not ok then break end
          if named and strange(value, con, env) then return true end
          pcall(debug.setlocal, thread, level, index, "x")
        end
        local info = debug.getinfo(thread, level)
        if info and strange(info.func, con, env) then return true end
      end
      debug.traceback(thread)
      coroutine.resume(thread)
    end
  end
  try(con, attempts)
end
