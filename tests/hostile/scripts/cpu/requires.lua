-- attack: ask for modules that fail to load, for ever
-- expect: budget cpu
function main()
  package.preload.fails = function() error("no") end
  while true do pcall(require, "fails") end
end
