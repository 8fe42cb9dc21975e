-- What scripts write to their standard streams: lines of the log.
--
-- Returns write(level, text), where a number will do for text.
local T = ...
local find, sub, concat = T.library.string.find, T.library.string.sub, T.library.table.concat
local format, mathtype = T.library.string.format, T.library.math.type
local tostring, type = T.native.tostring, T.native.type
local log, MAX_BYTES = T.log, T.config.log_bytes

-- Text as a program writes it to a stream, with lines where it has them. `begun` is what has
-- no end yet, by level.
local begun = false

local function end_begun(level)
  local line = begun[level]
  if not line then return end
  begun[level] = nil
  log(level, concat(line, "", 1, line.count))
end

local function log_text(level, text)
  if type(text) == "number" then
    -- of a float without a fraction Lua 5.3 and 5.4 write no ".0"
    text = mathtype and T.version < 5.5 and mathtype(text) == "float" and format("%.14g", text)
      or tostring(text)
  end
  local from = 1
  while from <= #text do
    local last = find(text, "\n", from, true)
    local piece = sub(text, from, last and last - 1 or #text)
    begun = begun or {}
    local line = begun[level]
    if not line then
      line = { count = 0, bytes = 0 }
      begun[level] = line
    end
    local count = line.count + 1
    line[count] = piece  -- first: a stop may come in between
    line.count, line.bytes = count, line.bytes + #piece
    if last or line.bytes > MAX_BYTES then end_begun(level) end
    from = (last or #text) + 1
  end
end

T.at_end(function()
  if begun then
    end_begun("i")
    end_begun("w")
    begun = false
  end
end)

return log_text
