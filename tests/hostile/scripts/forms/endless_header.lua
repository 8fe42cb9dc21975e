-- attack: a part whose header never ends
-- form: endless_header
-- expect: 200 413
local form = require "luafarm.form"

function main(env, con) con:puts(select(3, form.parse(env, con))) end
