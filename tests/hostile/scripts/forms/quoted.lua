-- attack: a header of nothing but quotes and backslashes, over which a parser walks again and again
-- form: quoted
-- expect: 200 alive
local form = require "luafarm.form"

function main(env, con)
  form.parse(env, con)
  con:puts("alive")
end
