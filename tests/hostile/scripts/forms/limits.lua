-- attack: limits that are no numbers, no limits, or change while the form is read
-- form: small
-- expect: 200 alive
local form = require "luafarm.form"

function main(env, con)
  local limits = {}
  limits.on_file = function() limits.bytes, limits.on_file = -1, nil end
  for _, odd in ipairs { { bytes = 0 / 0 }, { fields = -1 }, { files = "1" }, { header_bytes = {} }, { none = 1 }, { on_file = 1 },
    { [{}] = 1 }, { [0.5] = 1 }, con, setmetatable({}, { __index = function() return 1e9 end }), 1, "x", print, limits } do
    pcall(form.parse, env, con, odd)
    pcall(form.parse, odd, con)
    pcall(form.parse, env, odd)
  end
  con:puts("alive")
end
