-- attack: forms that are cut off at every byte of a boundary
-- form: cut
-- expect: 200 400
local form = require "luafarm.form"

function main(env, con) con:puts(select(3, form.parse(env, con))) end
