-- attack: a form of fifty thousand empty parts
-- form: many_parts
-- expect: 200 413
local form = require "luafarm.form"

function main(env, con) con:puts(select(3, form.parse(env, con))) end
