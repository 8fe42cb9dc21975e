-- attack: a text that is a table when it is asked, as the reply of handler()
-- expect: 200 the text
function handler()
  getmetatable("").__tostring = function() return {} end
  return "the text"
end
