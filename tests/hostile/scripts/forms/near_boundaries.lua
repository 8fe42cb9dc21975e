-- attack: a file of nothing but what is almost its boundary
-- form: near_boundaries
-- expect: 200 whole
local form = require "luafarm.form"

function main(env, con)
  local fields, files = form.parse(env, con)
  con:puts(fields and files.f and files.f.bytes == #files.f.data and files.f.bytes > 500000 and "whole" or "cut")
end
