-- uWSGI's Lua plugin serves one WSAPI application in a process: this one loads each
-- script of the directory $BENCH_SCRIPTS once and calls the one that is named.
local root = assert(os.getenv("BENCH_SCRIPTS"), "BENCH_SCRIPTS is not set")
local scripts = {}

-- WSAPI: the body is an iterator. uWSGI calls it until it fails, as a coroutine that has
-- ended does; a script here hands over one string, or such a coroutine.
local yield = coroutine.yield

local function once(text)
   return coroutine.wrap(function() yield(text) end)
end

local function run(env)
   local name = string.match(env.SCRIPT_NAME, "([%w]+)%.lua$")
   local script = scripts[name]
   if not script then
      script = assert(loadfile(root .. "/" .. name .. ".lua"))()
      scripts[name] = script
   end
   local status, headers, body = script(env)
   return status, headers, type(body) == "string" and once(body) or body
end

return run
