-- attack: module names that climb out of the directories
-- expect: refused
local try = require "try"

function main(env, con)
  local attempts = {}
  for _, name in ipairs { "../secret", "../../secret", "..secret", "...secret", "/etc/passwd",
    "capability/../../../secret", "capability.../secret", ".", "..", "", "a..b", "secret",
    "link", "way_out.secret", "way_out/secret", "%2e%2e/secret", ("a."):rep(400) .. "b" } do
    attempts["require " .. name] = function() return require(name) end
  end
  try(con, attempts)
end
