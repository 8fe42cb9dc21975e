-- attack: attributes and headers slipped into a cookie by every option of luafarm.cookies
-- expect: refused
local try = require "try"
local cookies = require "luafarm.cookies"

function main(env, con)
  local attempts = {}
  for name, text in pairs { semicolon = "x; Domain=escaped", crlf = "x\r\nX-Escaped: 1", lf = "x\nX-Escaped: 1", nul = "x\0", comma = "x\127", high = "\255;",
    table = setmetatable({}, { __tostring = function() return "x; Secure" end }), encoded = "x%0d%0aX-Escaped: 1;" } do
    for _, option in ipairs { "domain", "path", "samesite", "expires", "max_age", "secure", "httponly", "partitioned" } do
      attempts[option .. " " .. name] = function() cookies.set(con, "a", "b", { [option] = text }) return true end
      if option ~= "expires" and option ~= "max_age" then  -- these are not taken
        attempts["delete " .. option .. " " .. name] = function() cookies.delete(con, "a", { [option] = text }) return true end
      end
    end
    attempts["slash " .. name] = function() cookies.set(con, "a", "b", { path = "/" .. tostring(text) }) return name ~= "encoded" end
    attempts["name " .. name] = function() cookies.set(con, text, "b") return true end
    attempts["raw " .. name] = function() cookies.set(con, "a", text, { raw = true }) return true end
  end
  attempts.value = function() cookies.set(con, "a", "x\r\nX-Escaped: 1; Domain=escaped") end
  attempts.number = function() cookies.set(con, 1 / 0, "b") cookies.set(con, "a", "b", { max_age = 1 / 0 }) return true end
  attempts.host = function() cookies.set(con, "__Host-a", "b", { secure = true, path = "/x" }) return true end
  attempts.changed = function()
    local given, reads = {}, 0
    setmetatable(given, { __index = function() reads = reads + 1 return reads > 1 and "; escaped" or nil end, __pairs = function() return next, { domain = "x;" } end })
    cookies.set(con, "a", "b", given)
    return reads > 0
  end
  try(con, attempts)
end
