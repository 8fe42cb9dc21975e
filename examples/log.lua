-- Log lines, and a function that is called when a state is loaded.
--
-- They go to luafarm's log, and to the web server's error log with the request. Each of
-- them is text: nothing in it is taken for a format.
local luafarm = require("luafarm")

local served = 0

function startup()  -- once, when the state is loaded
  print("startup of state " .. luafarm.state.id)
end

function main(env, con)
  served = served + 1
  print("request", served, env.REQUEST_METHOD)               -- level info, with tabs
  con:log("100 % as it is")                                  -- the same, as in luafcgid
  luafarm.log("debug", "shown with [log] level = debug only")
  luafarm.log("warning", "something that a person may act on")
  luafarm.log("error", "something that went wrong")
  con:header("Content-Type", "text/plain; charset=utf-8")
  con:puts("Now look at the log.\n")
end
