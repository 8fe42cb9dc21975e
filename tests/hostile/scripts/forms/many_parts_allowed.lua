-- attack: the same where the script allows thousands of fields
-- form: many_parts
-- expect: 200 413 or budget memory
local form = require "luafarm.form"

function main(env, con)
  con:puts(select(3, form.parse(env, con, { fields = 3000, field_bytes = 1e12, bytes = 1e12 })))
end
