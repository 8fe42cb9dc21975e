-- attack: modules that require each other, themselves and their searchers within each other
-- expect: 200 alive
function main(env, con)
  local searchers = package.searchers or package.loaders
  package.preload.a = function() return require "b" end
  package.preload.b = function() return require "a" end
  pcall(require, "a")
  package.preload.c = function(name) package.loaded[name] = nil return require(name) end
  pcall(require, "c")
  searchers[#searchers + 1] = function(name) return require(name .. "x") end
  pcall(require, "d")
  searchers[#searchers] = function(name) return function() return require(name) end end
  pcall(require, "e")
  package.preload.f = function() return coroutine.wrap(require)("f") end
  pcall(require, "f")
  con:puts("alive")
end
