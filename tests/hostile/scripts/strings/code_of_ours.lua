-- attack: slip code of its own into text that the farm's modules compile
-- expect: 200 d41d8cd98f00b204e9800998ecf8427e
function main(env, con)
  getmetatable("").__tostring = function() return "0 + (function() debug = {} return 0 end)()" end
  getmetatable("").__concat = function() return "0" end
  local md5 = require "md5"
  getmetatable("").__tostring = nil
  con:puts(md5.sumhexa(""))
  if md5.sumhexa(("x"):rep(1000000)) ~= md5.digest(("x"):rep(1000000)) then con:puts(" ESCAPED") end
end
