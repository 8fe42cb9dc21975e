-- For luafarm and luafcgid: numbered lines that say what they are an answer to. The names
-- in capitals are put in by a deploy.
local part = require "part"
local found, luafarm = pcall(require, "luafarm")
local sleep = found and luafarm.sleep or require("socket.core").sleep
local runs = 0

-- Which process and state this is: none like it lives beside it.
local function place()
   if found then return luafarm.state.id end
   local stat = assert(io.open("/proc/self/stat"))
   local pid = stat:read("*n")
   stat:close()
   return pid .. string.match(tostring({}), "x%x+")
end

local function note(word, id, method)
   local ledger = assert(io.open("@LEDGER@", "a"))  -- O_APPEND, and one write(2)
   ledger:write(word .. " " .. id .. " " .. method .. "\n")
   ledger:close()
end

function main(env, con)
   local function asked(name)
      return string.match(env.QUERY_STRING, name .. "=([^&]*)")
   end
   local id, lines, pieces = asked("id"), tonumber(asked("lines")), tonumber(asked("pieces"))
   local wait = tonumber(asked("wait"))
   note("begin", id, env.REQUEST_METHOD)
   runs = runs + 1
   local sent = env.REQUEST_METHOD == "POST" and con:gets()
   local digest = sent and #sent .. ":" .. string.sub(sent, -4, -2) or "-"
   local start = table.concat({ id, "@GENERATION@", part, place() .. "." .. runs, digest, "" }, " ")
   if asked("length") then con:header("Content-Length", tostring(lines * (#start + 6))) end
   local line = 0
   for piece = 1, pieces do
      if wait > 0 then sleep(wait) end
      local text = {}
      while line < lines * piece / pieces do
         line = line + 1
         text[#text + 1] = start .. string.format("%05d\n", line)
      end
      con:puts(table.concat(text))
      if pieces > 1 then con:flush() end
   end
   note("end", id, env.REQUEST_METHOD)
end
