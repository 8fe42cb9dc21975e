-- The reply of the running request: status, headers, and the body as far as it is not sent.
--
-- Provides: begin_reply, drop_reply, finish_reply, end_reply, reset_body, flush, put,
--   HEADER_NAME, string_of, quoted, set_header.
local T = ...
local byte, find, gmatch, gsub = T.library.string.byte, T.library.string.find,
  T.library.string.gmatch, T.library.string.gsub
local match, sub = T.library.string.match, T.library.string.sub
local concat, sort = T.library.table.concat, T.library.table.sort
local format, lower = T.library.string.format, T.library.string.lower
local ipairs, next, rawget = T.native.ipairs, T.native.next, T.native.rawget
local tonumber, tostring, type = T.native.tonumber, T.native.tostring, T.native.type
local operate, REFUSED, OP, halt = T.operate, T.REFUSED, T.OP, T.halt
local config, log, whole = T.config, T.log, T.whole

local CONTROLS = "[^\t\32-\126\128-\255]"  -- RFC 9110, 5.5
local configured = gsub(gsub(config.headers, "\r?\n", "\r\n"), "[\r\n]+$", "")

local status, content_type, location  -- set by the script, or nil
local lines, extra  -- further header lines in order, and how many
local head_bytes    -- of the head as it would be sent now, with the blank line
local body, count   -- pieces not yet sent, and how many
local bytes, total  -- of these pieces; of the whole reply
local sent          -- the head has gone

local part_bytes = config.buffering and config.part_bytes or -1

local function status_text() return status or (location and "302 Found") or config.status end

local function head()
  local out = { "Status: " .. status_text() }
  local media = content_type or config.content_type
  if media ~= "" then out[#out + 1] = "Content-Type: " .. media end
  if configured ~= "" then out[#out + 1] = configured end
  if location then out[#out + 1] = "Location: " .. location end
  for index = 1, extra do out[#out + 1] = lines[index] end
  return concat(out, "\r\n")
end

extra = 0
local plain_head = head()
local PLAIN_BYTES = #plain_head + 2

-- Begin the reply of a request: an empty one, whatever became of the last.
function T.begin_reply()
  status, content_type, location, extra, head_bytes = nil, nil, nil, 0, PLAIN_BYTES
  count, bytes, total, sent = 0, 0, 0, false
end

-- Let go of what a reply held.
local function drop() body, lines = {}, nil end
T.drop_reply = drop
drop()

-- Head and body that are still to be sent.
local function rest()
  local pending = count == 1 and body[1] or concat(body, "", 1, count)
  return sent and "" or head(), pending
end

-- The same at the end of a request.
function T.finish_reply()
  if count == 1 and extra == 0 and not (sent or status or content_type or location) then
    return plain_head, body[1]  -- kept until the next reply overwrites it
  end
  local top, pending = rest()
  drop()
  return top, pending
end

-- `bytes` of a reply that has ended while its script goes on: each further piece is more than
-- may wait, so `flush` sees it, and `put` has no question to ask for it.
local ENDED = 1 / 0

function T.reset_body()
  if bytes == ENDED then return end
  total = total - bytes
  body, count, bytes = {}, 0, 0
end

-- Send what there is; where Lua cannot yield it stays buffered.
local function flush()
  if sent and count == 0 then return end
  if bytes == ENDED then
    body, count, total = {}, 0, 0
    return
  end
  if total > config.reply_bytes then
    halt("reply", format("reply of more than %d bytes", config.reply_bytes))
  end
  local top, chunk = rest()
  local lines = T.take_log()
  if operate(OP.FLUSH, top, chunk, lines) == REFUSED then return T.put_log_back(lines) end
  sent, body, count, bytes = true, {}, 0, 0
end
T.flush = flush

-- End the reply before its script ends; whether that was possible here.
function T.end_reply()
  if bytes == ENDED then return true end
  if total > config.reply_bytes then
    halt("reply", format("reply of more than %d bytes", config.reply_bytes))
  end
  local top, chunk = rest()
  local lines = T.take_log()
  if operate(OP.FINISH, top, chunk, lines) == REFUSED then
    T.put_log_back(lines)
    return false
  end
  sent, body, count, bytes = true, {}, 0, ENDED
  return true
end

-- text: a string.
local function put(text)
  local size = #text
  body[count + 1] = text  -- first what can fail
  count, bytes, total = count + 1, bytes + size, total + size
  if bytes > part_bytes then flush() end
end
T.put = put

-- ---- headers: each function returns nothing, or what is wrong ---------------------------

local TOO_MUCH = "headers of more than " .. config.head_bytes .. " bytes"
local NAME = "^[%w!#$%%&'*+.^_`|~-]+$"  -- token of RFC 9110, 5.6.2

-- The string, or nil and what is wrong.
local function string_of(value, what)
  if type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  return nil, what .. " must be a string, not a " .. type(value) .. " value"
end

local function quoted(text) return "'" .. sub(text, 1, 40) .. "'" end
T.HEADER_NAME, T.string_of, T.quoted = NAME, string_of, quoted

-- Text without the blanks at its ends, in linear time: visitors may have a hand in it.
local function trimmed(text)
  local first, last = find(text, "[^ \t]"), #text
  if not first then return "" end
  while byte(text, last) == 32 or byte(text, last) == 9 do last = last - 1 end
  return sub(text, first, last)
end

local function status_line(value)
  value = trimmed(value)
  local code = tonumber(match(value, "^%d%d%d%f[%D]"))
  if not code or code < 200 or code > 599 then return nil end
  local reason = trimmed(sub(value, 4))
  if reason == "" then reason = T.late("reply").reasons[code] or "Status" end
  return code .. " " .. reason
end

local function line_bytes(name, value) return #name + #value + 4 end

-- Set or add one header. Status, Content-Type and Location replace what was there. What
-- cannot be set leaves everything as it was.
local function header(name, value)
  local problem
  value, problem = string_of(value, "the value of header " .. quoted(name))
  if problem then return problem end
  if not find(name, NAME) then return quoted(name) .. " is no header name" end
  if find(value, CONTROLS) then
    return "the value of header " .. quoted(name)
      .. " contains a line break or another control character"
  end
  if sent then
    return log("w", "header " .. quoted(name) .. " ignored: the headers were sent before")
  end
  local lowered, more = lower(name), line_bytes(name, value)
  if lowered == "status" then
    local line = status_line(value)
    if not line then return quoted(value) .. " is no status of a reply (200 to 599)" end
    value, more = line, #line - #status_text()
  elseif lowered == "content-type" then
    local media = content_type or config.content_type
    more = (value ~= "" and more or 0) - (media ~= "" and line_bytes(name, media) or 0)
  elseif lowered == "location" then
    if location then more = #value - #location
    elseif not status then more = more + #"302 Found" - #config.status end
  end
  if head_bytes + more > config.head_bytes then return TOO_MUCH end
  if lowered == "status" then
    status = value
  elseif lowered == "content-type" then
    content_type = value
  elseif lowered == "location" then
    location = value
  else
    local line = name .. ": " .. value  -- first what can fail
    if extra == 0 then lines = {} end
    lines[extra + 1] = line
    extra = extra + 1
  end
  head_bytes = head_bytes + more
end

-- Set several, or none of them.
local function all(names, values)
  local before, media, target, number, size = status, content_type, location, extra, head_bytes
  for index = 1, #names do
    local problem = header(names[index], values[index])
    if problem then
      status, content_type, location, extra, head_bytes = before, media, target, number, size
      return problem
    end
  end
end

local function header_lines(text)  -- one or several, as the script wrote them
  if #text > config.head_bytes and not sent then return TOO_MUCH end
  local names, values = {}, {}
  for line in gmatch(text, "[^\r\n]+") do
    local colon = find(line, ":", 1, true)
    if not colon then return quoted(line) .. " is no header line" end
    names[#names + 1] = sub(line, 1, colon - 1)
    values[#names] = trimmed(sub(line, colon + 1))
  end
  return all(names, values)
end

local function header_table(headers)  -- in the order of their names
  local sorted, names, values = {}, {}, {}
  for name in next, whole(headers) do
    if type(name) ~= "string" then
      return "a header's name must be a string, not a " .. type(name) .. " value"
    end
    sorted[#sorted + 1] = name
  end
  sort(sorted)
  for _, name in ipairs(sorted) do
    local value = rawget(headers, name)
    for _, item in ipairs(type(value) == "table" and value or { value }) do
      names[#names + 1] = name
      values[#names] = item
    end
  end
  return all(names, values)
end

-- How many arguments the script gave, and they: (name, value), (lines) or (table).
function T.set_header(given, name, value)
  if given < 2 and type(name) == "table" then return header_table(name) end
  local text, problem = string_of(name, "a header")
  if problem then return problem end
  if given < 2 then return header_lines(text) end
  return header(text, value)
end
