-- attack: make the farm's functions fail and look for anything but text in the error
-- expect: refused
local try = require "try"
local luafarm, json, md5, base64 = require "luafarm", require "json", require "md5", require "base64"

function main(env, con)
  local attempts = {}
  for name, f in pairs { puts = con.puts, gets = con.gets, read = con.read, header = con.header,
    status = con.status, cookie = con.cookie, log = con.log, parse = con.parse,
    config = con.config, sleep = luafarm.sleep, file = luafarm.read, data = luafarm.data,
    write = luafarm.log, escape = luafarm.escape_html, encode = json.encode, decode = json.decode,
    digest = md5.digest, base64 = base64.decode, require = require, dofile = dofile } do
    for _, value in ipairs { {}, print, 0 / 0, -1, "\255\0", true, coroutine.create(print) } do
      attempts[name .. type(value)] = function()
        for _, arguments in ipairs { { value }, { con, value }, { con, value, value, value } } do
          local ok, message = pcall(f, (table.unpack or unpack)(arguments))
          if not ok and type(message) ~= "string" then return true end
          if type(message) == "userdata" then return true end
        end
      end
    end
  end
  for name, attempt in pairs(attempts) do
    attempts[name] = function()
      local got = attempt()
      con:reset()
      return got
    end
  end
  try(con, attempts)
end
