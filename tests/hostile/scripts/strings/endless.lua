-- attack: a text that never ends when it is asked, in every function that asks
-- expect: budget cpu
-- expect luajit21: 200 not asked
function main(env, con)
  getmetatable("").__tostring = function() while true do end end
  pcall(coroutine.wrap(function() while pcall(string.format, "%s", "x") and not jit do return string.format("%10.3s", "x") end end))
  con:puts("not asked")
end
