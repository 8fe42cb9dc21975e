-- attack: the same where the script allows headers of any size
-- form: endless_header
-- expect: 200 400 or budget memory
local form = require "luafarm.form"

function main(env, con) con:puts(select(3, form.parse(env, con, { header_bytes = 1 / 0 }))) end
