-- A reply that is sent in pieces.
--
-- What puts is given is kept until main returns, or until flush sends it. The first flush
-- sends the headers as well: header, status and cookie do nothing after it. While sleep
-- waits, this state serves nobody else, so wait little.
local luafarm = require("luafarm")
local page = require("lib.page")

local STEPS = 5

function main(env, con)
  con:header("X-Accel-Buffering", "no")  -- or nginx would collect the pieces again
  con:puts(page.open("Stream"))
  con:puts("<p>Each line is sent when it is ready.</p>\n")
  for step = 1, STEPS do
    con:puts(string.format("<p class='note'>%d of %d</p>\n", step, STEPS))
    con:flush()
    if step < STEPS then luafarm.sleep(0.4) end
  end
  con:puts("<p>That was all.</p>" .. page.close())
end
