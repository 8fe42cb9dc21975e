-- attack: forms within forms within forms
-- form: nested
-- expect: 200 alive
local form = require "luafarm.form"

function main(env, con)
  local fields, files, list = form.parse(env, con)
  con:puts(fields and "alive" or list == 400 and "alive" or "status " .. tostring(list))
end
