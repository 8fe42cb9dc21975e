-- Answers lines that its request, script, generation, release and run make up, so that
-- a reader knows each byte of a reply. The names in capitals are put in by a deploy.
local luafarm = require "luafarm"
local md5 = require "md5"
local release = require "release"

local SCRIPT, GENERATION, LEDGER = "@SCRIPT@", "@GENERATION@", @LEDGER@
local runs = 0

local function note(word, id, mark, method)
  if not LEDGER then return end
  local file = assert(io.open(LEDGER, "a"))  -- O_APPEND, and one write(2) for the line
  file:write(word .. " " .. id .. " " .. mark .. " " .. method .. "\n")
  file:close()
end

function main(env, con)
  local asked = luafarm.parse(env.QUERY_STRING)
  local lines, pieces = tonumber(asked.lines), tonumber(asked.pieces)
  runs = runs + 1
  local mark = luafarm.state.id .. "." .. runs
  note("begin", asked.id, mark, env.REQUEST_METHOD)
  local digest = "-"
  if env.REQUEST_METHOD == "POST" then digest = md5.digest(con:gets() or "") end
  local start = table.concat(
    { asked.id, SCRIPT, GENERATION, release, mark, digest, "" }, " ")
  con:header("Content-Type", "text/plain")
  if asked.length then con:header("Content-Length", lines * (#start + 7)) end
  if asked.raw then con:header("X-Accel-Buffering", "no") end
  local line = 0
  for piece = 1, pieces do
    local text = {}
    while line < math.floor(lines * piece / pieces) do
      line = line + 1
      text[#text + 1] = start .. string.format("%06d\n", line)
    end
    con:puts(table.concat(text))
    if pieces > 1 then con:flush() end
    if asked.wait then luafarm.sleep(tonumber(asked.wait)) end
  end
  note("end", asked.id, mark, env.REQUEST_METHOD)
end
