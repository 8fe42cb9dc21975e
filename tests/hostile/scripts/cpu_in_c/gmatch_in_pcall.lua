-- attack: the same inside pcall and a coroutine, which cannot help
-- expect: kill
function main()
  while true do
    pcall(coroutine.wrap(function()
      for _ in (("a"):rep(60000)):gmatch((".-"):rep(8) .. "b") do end
    end))
  end
end
