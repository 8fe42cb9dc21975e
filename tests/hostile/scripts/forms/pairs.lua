-- attack: an urlencoded form of hundreds of thousands of pairs
-- form: pairs
-- expect: 200 413
local form = require "luafarm.form"

function main(env, con) con:puts(select(3, form.parse(env, con))) end
