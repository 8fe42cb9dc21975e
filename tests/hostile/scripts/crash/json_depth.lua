-- attack: JSON nested without end and broken at every place
-- expect: 200 alive
local json = require "json"

function main(env, con)
  pcall(json.decode, ("["):rep(500000))
  pcall(json.decode, ('{"a":'):rep(100000))
  local deep = {}
  for _ = 1, 100000 do deep = { deep } end
  pcall(json.encode, deep)
  for _, text in ipairs { "", "[", "{", '"', "\\", '"\\u', '"\\ud800', '"\\ud800\\u0000"', "-", "1e", "nul", "[,", "{:",
    "\255", "1e999999", ("1"):rep(1000), "[1 2]", '{"a" 1}', "\0", '"\0"' } do
    pcall(json.decode, text)
  end
  for _, value in ipairs { 0 / 0, 1 / 0, { [1] = 1, [1e15] = 2 }, { [{}] = 1 }, print, { print } } do
    pcall(json.encode, value)
  end
  con:puts("alive")
end
