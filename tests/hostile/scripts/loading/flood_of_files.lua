-- attack: ask for files without end that are not there
-- expect: 200 refused
local luafarm = require "luafarm"

function main(env, con)
  for index = 1, 5000 do
    if luafarm.read("none" .. index) then con:puts("ESCAPED") end
  end
  con:puts("refused")
end
