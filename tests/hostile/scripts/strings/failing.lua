-- attack: fail with a metatable of strings that raises, exits and never ends
-- expect: 500 boom
function main(env, con)
  local meta = getmetatable("")
  for _, name in ipairs { "__tostring", "__concat", "__len", "__eq", "__lt", "__call", "__close", "__index", "__name" } do
    meta[name] = function() os.exit() while true do end end
  end
  error("boom")
end
