-- attack: raise, yield, exit, parse and end the reply while a file is taken piece by piece
-- form: small
-- asks: 2
-- expect: 200 alive
local form, luafarm = require "luafarm.form", require "luafarm"

function main(env, con)
  local raised = {}
  local count = 0
  local thread = coroutine.create(function()
    return form.parse(env, con, { on_file = function(file, piece)
      count = count + 1
      if count == 1 then
        coroutine.yield("x")
        luafarm.sleep(0)
        pcall(form.parse, env, con)
        file.bytes, file.filename, file.headers = -1e300, nil, nil
        con:flush()
        error(raised)
      end
    end })
  end)
  coroutine.resume(thread)
  local ok, found, message, status = coroutine.resume(thread)
  if ok and found == nil and type(status) ~= "number" then con:puts("ESCAPED") end
  if not ok and found ~= raised and type(found) ~= "string" then con:puts("ESCAPED: an error of ours") end
  con:puts("alive")
end
