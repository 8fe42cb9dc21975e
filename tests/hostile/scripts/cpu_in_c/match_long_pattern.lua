-- attack: a pattern as long as the text, which almost fits at every place
-- expect: kill
function main()
  local text = ("a"):rep(300000)
  text:match(text .. "b")
  text:match(text, 3)
end
