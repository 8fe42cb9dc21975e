-- `package` as every state has it: `require`, the searchers and what else they have of functions
-- are in late_package.lua.
--
-- Provides: package, modules, preload.
local T = ...
local native, env = T.native, T.environment

local SEARCHERS = T.is51 and "loaders" or "searchers"

-- Names of 5.1 in 5.2, as distributions build it.
local function complete(package)
  package.loaders = package[SEARCHERS]
  T.stubs(env, "package", "module")
  T.stubs(package, "package", "seeall")
end

T.stubs(env, "package", "require")
if T.config.trusted then
  T.package, T.modules, T.preload = native.package, native.package.loaded, native.package.preload
  if T.version == 5.2 then complete(T.package) end
  T.modules.bit32 = env.bit32
  return
end

local loaded, preload, stubs = {}, {}, {}
local package = { loaded = loaded, preload = preload, path = "./?.lua;./?/init.lua", cpath = "",
  config = native.package.config }
T.package, T.modules, T.preload = package, loaded, preload
env.package = package
loaded._G = env
for _, name in native.ipairs { "bit", "bit32", "coroutine", "debug", "io", "jit", "math", "os",
  "package", "string", "table", "utf8" } do
  loaded[name] = env[name]
end
T.stubs(stubs, "package", "find_preload find_file find_builtin")
package[SEARCHERS] = { stubs.find_preload, stubs.find_file, stubs.find_builtin }
if T.config.c_modules ~= "" then package[SEARCHERS][4] = T.late("c_modules") end
T.stubs(package, "package", "loadlib searchpath", native.package)
if T.version <= 5.2 then complete(package) end
