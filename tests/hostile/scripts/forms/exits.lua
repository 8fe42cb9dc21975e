-- attack: end the request from within a form, and parse another in the next
-- form: small
-- asks: 3
-- expect: 200 put
local form = require "luafarm.form"

function main(env, con)
  con:puts("put")
  form.parse(env, con, { on_file = function() os.exit() end })
  con:puts("ESCAPED")
end
