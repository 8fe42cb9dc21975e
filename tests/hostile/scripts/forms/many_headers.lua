-- attack: a part of thousands of header lines, each with a parameter that is never closed
-- form: many_headers
-- expect: 200 413
local form = require "luafarm.form"

function main(env, con) con:puts(select(3, form.parse(env, con))) end
