-- attack: searchers and loaders that are odd, change each other, or never end
-- expect: 200 alive
function main(env, con)
  local name = package.searchers and "searchers" or "loaders"
  local before = package[name]
  for index, odd in ipairs { {}, { 1 }, { "x" }, { print }, { error }, { coroutine.yield }, { function() return {} end },
    { function() return 1, 2 end }, { function() return ("x"):rep(1e6) end }, { function(n) return require end },
    { function(n) package[name] = nil end }, { function() return setmetatable({}, { __call = print }) end },
    setmetatable({}, { __index = function() return print end }), setmetatable({}, { __call = print }), 1, "x", print } do
    package[name] = odd
    pcall(require, "none" .. index)
    pcall(coroutine.wrap(require), "none" .. index)
  end
  package[name] = nil
  setmetatable(package, { __index = function() return { function() return function() error({}) end end } end })
  pcall(require, "none")
  setmetatable(package, nil)
  package[name] = before
  for _, at in ipairs { "path", "cpath", "preload", "loaded", "config" } do
    package[at] = nil
    pcall(require, "none." .. at)
    pcall(package.searchpath, "none", "?")
  end
  con:puts("alive")
end
