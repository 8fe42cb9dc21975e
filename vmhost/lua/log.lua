-- Log lines of one request: "level letter, text, NUL" each, capped, taken with the reply.
--
-- Provides: log, at_end, take_log, put_log_back, end_log.
local T = ...
local find, gsub, sub = T.library.string.find, T.library.string.gsub, T.library.string.sub
local concat, select = T.library.table.concat, T.native.select
local config, tostring = T.config, T.native.tostring
local NUL = T.NUL

local lines, count = {}, 0      -- not yet taken
local total, bytes = 0, 0       -- of this request
local dropped = 0               -- not kept, of this request

-- level: one of d i w e; text: a string of ours or of the script.
local function log(level, text)
  if total >= config.log_lines or bytes >= config.log_bytes then
    dropped = dropped + 1
    return
  end
  local room = config.log_bytes - bytes
  if #text > room then text = sub(text, 1, room) .. "..." end
  if find(text, NUL) then text = gsub(text, NUL, "?") end
  lines[count + 1] = level .. text .. "\0"
  total, bytes, count = total + 1, bytes + #text, count + 1
end
T.log = log

local end_text  -- ends the lines of what writes text, if anything does

-- Have f called before the lines of a request are taken at its end.
function T.at_end(f) end_text = f end

-- Return what was logged since the last call, in the middle of a request.
function T.take_log()
  if count == 0 then return "" end
  local taken = concat(lines, "", 1, count)
  lines, count = {}, 0
  return taken
end

function T.put_log_back(taken)
  if taken ~= "" then lines[1], count = taken, 1 end
end

-- The same at the end of a request, with how many lines were not kept: told once.
function T.end_log()
  if end_text then end_text() end
  if total == 0 and dropped == 0 then return "" end
  if dropped > 0 then
    lines[count + 1] = "w" .. tostring(dropped) .. " more log lines (limits: "
      .. tostring(config.log_lines) .. " lines, " .. tostring(config.log_bytes) .. " bytes)\0"
    count = count + 1  -- last: there may be no memory for the text
  end
  local taken = T.take_log()
  total, bytes, dropped = 0, 0, 0
  return taken
end

function T.environment.print(...)
  local parts, text = {}, T.config.trusted and T.environment.tostring or T.tostring
  for index = 1, select("#", ...) do parts[index] = text((select(index, ...))) end
  log("i", concat(parts, "\t"))
end
