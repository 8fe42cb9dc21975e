-- `os` of sandboxed scripts but for time, which is in numbers.lua: what would change files or
-- start programs fails as it does where that is forbidden, and `exit` ends the request. In
-- trusted pools `exit`, for there it would end the VM host, and what 5.2 lacks of `date`.
local T = ...
local trusted = T.config.trusted
local os = trusted and T.environment.os or T.os

-- End the request with what was put, as at the end of the handler.
function os.exit()
  if not T.is_active() then T.native.error("'exit' called while no request is running", 2) end
  T.leave()
end

if trusted then
  if T.version == 5.2 then T.stubs(os, "dates", "date") end
  return
end

T.stubs(os, "os", "execute getenv remove rename setlocale tmpname")
