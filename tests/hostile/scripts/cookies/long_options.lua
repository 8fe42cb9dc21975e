-- attack: names, values and options so long that a check of them never ends
-- expect: refused
local try = require "try"
local cookies = require "luafarm.cookies"

function main(env, con)
  local attempts = {}
  for name, text in pairs { letters = ("a"):rep(300000) .. "!", dots = (".a"):rep(300000) .. " ", dashes = ("-"):rep(600000) .. "_",
    blanks = (" "):rep(600000) .. "x", breaks = ("\r\n"):rep(300000) } do
    for _, option in ipairs { "domain", "path", "samesite", "expires", "max_age" } do
      attempts[option .. " " .. name] = function() cookies.set(con, "a", "b", { [option] = text }) return true end
      attempts["/" .. option .. " " .. name] = function() cookies.set(con, "a", "b", { [option] = "/" .. text }) return true end
    end
    attempts["value " .. name] = function() cookies.set(con, "a", text) return true end
    attempts["raw " .. name] = function() cookies.set(con, "a", text, { raw = true }) return true end
    attempts["name " .. name] = function() cookies.set(con, text, "a") return true end
    attempts["old " .. name] = function() con:cookie(text, "a", 1, text, text) return true end
  end
  try(con, attempts)
end
