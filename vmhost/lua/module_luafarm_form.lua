-- require "luafarm.form": what a form has sent, urlencoded or as multipart/form-data.
--
-- RFC 7578 and 2046, as browsers write it. The body is read piece by piece, so that no more of
-- it is in memory than the limits allow, and a file none but for one piece if the script takes
-- it in pieces. Whatever a visitor can send is answered with nil, a message and a status;
-- wrong use by the script is an error.
local T = ...
local byte, char, find, gmatch = T.library.string.byte, T.library.string.char,
  T.library.string.find, T.library.string.gmatch
local gsub, lower, match, sub = T.library.string.gsub, T.library.string.lower,
  T.library.string.match, T.library.string.sub
local concat = T.library.table.concat
local error, next, rawequal = T.native.error, T.native.next, T.native.rawequal
local tonumber, type = T.native.tonumber, T.native.type
local con, read = T.con, T.con.read

local PIECE = 64 * 1024  -- bytes of the body that are asked for at a time
local MAX_BOUNDARY = 200 -- bytes; RFC 2046 allows 70
local DEFAULTS = {
  fields = 1000,                 -- as many as luafarm.parse takes
  files = 20,
  field_bytes = 1024 * 1024,     -- of names and values of all fields
  file_bytes = 8 * 1024 * 1024,  -- of one file; without one if on_file takes them
  header_bytes = 8 * 1024,       -- of one part
  bytes = 16 * 1024 * 1024,      -- of the body; the same
}
local ENDLESS = 1 / 0

local function limits_of(given)
  local limits = {}
  if given ~= nil and type(given) ~= "table" then
    error("bad argument #3 to 'parse' (table expected, got " .. type(given) .. ")", 3)
  end
  for name, value in next, given and T.whole(given) or {} do
    if name == "on_file" then
      if type(value) ~= "function" then
        error("limits.on_file must be a function, not a " .. type(value) .. " value", 3)
      end
    elseif DEFAULTS[name] == nil then
      error("form.parse: there is no limit '" .. T.tostring(name) .. "'", 3)
    elseif type(value) ~= "number" or not (value >= 0) then
      error("limits." .. name .. " must be a number, 0 or more", 3)
    end
    limits[name] = value
  end
  local is_piecewise = limits.on_file ~= nil
  for name, value in next, DEFAULTS do
    if limits[name] == nil then
      local is_open = is_piecewise and (name == "bytes" or name == "file_bytes")
      limits[name] = is_open and ENDLESS or value
    end
  end
  return limits
end

-- ---- ends: a visitor's fault is raised as a table of ours and caught by `parse` -------------

local raised  -- the last one: a script's own error is none of them, whatever it looks like
local function give_up(status, template, ...)
  raised = { status = status, message = "form.parse: " .. T.fill(template, ...) }
  error(raised, 0)
end

local function shown(text)  -- in a message
  return (gsub(sub(text, 1, 60), "[%c\127]", "?"))
end

-- ---- the body ------------------------------------------------------------------------------

-- Returns a function that gives the next piece of the body; nil at its end.
local function source(limits, length)
  local most, total = limits.bytes, 0
  if length and length > most then
    give_up(413, "body of %.0f bytes; limits.bytes is %.0f", length, most)
  end
  return function()
    local piece = read(con, PIECE)
    if piece then
      total = total + #piece
      if total > most then
        give_up(413, "body of more than %.0f bytes; limits.bytes is %.0f", total - 1, most)
      end
    end
    return piece
  end
end

-- ---- urlencoded ----------------------------------------------------------------------------

local function urlencoded(pull, limits, fields, list)
  local pieces, count, size = {}, 0, 0
  while true do  -- Lua 5.1 cannot ask the host in the iterator of a `for` loop
    local piece = pull()
    if not piece then break end
    count, size = count + 1, size + #piece
    if size > limits.field_bytes then
      give_up(413, "fields of more than %.0f bytes; limits.field_bytes is %.0f", size - 1,
        limits.field_bytes)
    end
    pieces[count] = piece
  end
  local number = 0
  for pair in gmatch(concat(pieces, "", 1, count), "[^&]+") do
    number = number + 1
    if number > limits.fields then
      give_up(413, "%d fields; limits.fields is %.0f", number, limits.fields)
    end
    local at = find(pair, "=", 1, true) or #pair + 1
    local name = T.urldecode(sub(pair, 1, at - 1))
    local value = T.urldecode(sub(pair, at + 1))
    fields[name] = value
    list[number] = { name = name, value = value }
  end
end

-- ---- headers of a part ---------------------------------------------------------------------

-- The parameters behind the first ';' of a header's value, names in lower case. Browsers
-- escape a quote as %22, others as \"; a backslash in front of anything else is one.
local function parameters(value)
  local found, at = {}, find(value, ";", 1, true)
  while at do
    local name, stop = match(value, "^[ \t]*([^=; \t]+)[ \t]*=[ \t]*()", at + 1)
    if not name then
      at = find(value, ";", at + 1, true)
    else
      name = lower(name)
      local text
      if byte(value, stop) == 34 then
        local from, quote = stop + 1, find(value, '"', stop + 1, true)
        while quote and byte(value, quote - 1) == 92 do
          quote = find(value, '"', quote + 1, true)
        end
        if not quote then
          -- the last backslash before a quote is one itself: C:\dir\"
          quote = find(value, '"%s*$', from) or find(value, '"', from, true)
          if not quote then return nil end
        end
        text = gsub(sub(value, from, quote - 1), '\\"', '"')
        stop = quote + 1
      else
        local last = (find(value, ";", stop, true) or #value + 1) - 1
        text = match(sub(value, stop, last), "^([^ \t]*)")
        stop = last + 1
      end
      if found[name] == nil then found[name] = text end
      at = find(value, ";", stop, true)
    end
  end
  return found
end

local function utf8_value(text)  -- of `filename*`, RFC 8187; nil for what is none
  local charset, rest = match(text, "^([%w-]+)'[%w-]*'(.*)$")
  if not charset or lower(charset) ~= "utf-8" then return nil end
  return (gsub(rest, "%%(%x%x)", function(digits) return char(tonumber(digits, 16)) end))
end

local function part_headers(block, number)
  local headers = {}
  block = gsub(block, "\r\n[ \t]+", " ")
  for line in gmatch(block, "[^\r\n]+") do
    local colon = find(line, ":", 1, true)
    if not colon or find(line, "[%z\1-\8\10-\31\127]") then
      give_up(400, "part %d: header '%s' is none", number, shown(line))
    end
    local name = lower(match(sub(line, 1, colon - 1), "^([^ \t]*)"))
    local value = match(sub(line, colon + 1), "^[ \t]*(.*)$")
    if headers[name] == nil then headers[name] = value end
  end
  return headers
end

-- ---- multipart -----------------------------------------------------------------------------

local function boundary_of(content_type)
  local found = parameters(content_type)
  local boundary = found and found.boundary
  if not boundary or boundary == "" then
    give_up(400, "content type '%s' has no boundary", shown(content_type))
  end
  if #boundary > MAX_BOUNDARY then
    give_up(400, "boundary of %d bytes; the limit is %d", #boundary, MAX_BOUNDARY)
  end
  return boundary
end

-- A reader of parts: `skip(put)` hands out what comes before the next boundary and says
-- whether it was the last; `head(limit)` returns the header block behind it.
local function parts(pull, boundary)
  local mark = "\r\n--" .. boundary
  local held, reader = "\r\n", {}  -- the first boundary may be at the very beginning
  local number = 0

  local function more()
    local piece = pull()
    if not piece then
      if number == 0 then give_up(400, "the body ends before its first part") end
      give_up(400, "the body ends within part %d", number)
    end
    held = held .. piece
  end

  function reader.skip(put)
    while true do
      local at, stop = find(held, mark, 1, true)
      if at then
        if at > 1 then put(sub(held, 1, at - 1)) end
        held = sub(held, stop + 1)
        break
      end
      local free = #held - #mark + 1
      if free > 0 then
        put(sub(held, 1, free))
        held = sub(held, free + 1)
      end
      more()
    end
    while #held < 2 do more() end
    return sub(held, 1, 2) == "--"
  end

  function reader.head(limit)
    number = number + 1
    local from = 1
    while true do
      local at, stop = find(held, "\r\n\r\n", from, true)
      if (at or #held) > limit then
        give_up(413, "part %d: header of more than %.0f bytes; limits.header_bytes is %.0f",
          number, limit, limit)
      end
      if at then
        local block = sub(held, 1, at - 1)
        -- in the rest of the boundary's line there may be blanks
        if not find(block .. "\r\n", "^[ \t]*\r\n") then
          give_up(400, "part %d: its boundary goes on with '%s'", number, shown(block))
        end
        held = sub(held, stop + 1)
        -- a part may be empty, and then its end has no line of its own
        held = "\r\n" .. held
        return gsub(block, "^[ \t]*\r\n", ""), number
      end
      from = #held > 3 and #held - 2 or 1
      more()
    end
  end

  return reader
end

-- The last component: a name is no path, though some send one.
local function base_name(text) return (gsub(text, "^.*[/\\]", "")) end

local function field_taker(limits, used, name)
  local pieces, count = {}, 0
  local size = used.field_bytes + #name
  local function put(piece)
    size = size + #piece
    if size > limits.field_bytes then
      give_up(413, "fields of more than %.0f bytes at field '%s'; limits.field_bytes is %.0f",
        size - 1, shown(name), limits.field_bytes)
    end
    count = count + 1
    pieces[count] = piece
  end
  put("")
  return put, function()
    used.field_bytes = size
    return concat(pieces, "", 1, count)
  end
end

local function file_taker(limits, file)
  local pieces, count, on_file = {}, 0, limits.on_file
  local function hand(piece)
    local goes_on, why = on_file(file, piece)
    if goes_on == false then
      give_up(400, "%s", type(why) == "string" and why or "stopped by limits.on_file")
    end
  end
  local function put(piece)
    file.bytes = file.bytes + #piece
    if file.bytes > limits.file_bytes then
      give_up(413, "file '%s' of more than %.0f bytes; limits.file_bytes is %.0f",
        shown(file.filename), file.bytes - 1, limits.file_bytes)
    end
    if on_file then return hand(piece) end
    count = count + 1
    pieces[count] = piece
  end
  return put, function()
    if on_file then return hand(nil) end
    file.data = concat(pieces, "", 1, count)
  end
end

-- From the first byte of a part: without the CRLF that `head` put there for an empty one.
local function behind_line(put)
  local left = 2
  return function(piece)
    if left > 0 then
      local size = #piece
      piece = sub(piece, left + 1)
      left = left > size and left - size or 0
      if piece == "" then return end
    end
    put(piece)
  end
end

local function nothing() end

local function multipart(pull, limits, boundary, fields, files, list)
  local reader = parts(pull, boundary)
  local used = { fields = 0, files = 0, field_bytes = 0 }
  local is_last = reader.skip(nothing)
  while not is_last do
    local block, number = reader.head(limits.header_bytes)
    local headers = part_headers(block, number)
    local disposition = headers["content-disposition"] or ""
    local found = find(lower(disposition), "^form%-data") and parameters(disposition)
    local name = found and found.name
    if not name then give_up(400, "part %d has no name", number) end
    local filename = found["filename*"] and utf8_value(found["filename*"]) or found.filename
    if filename then
      local file = { name = name, filename = base_name(filename), bytes = 0, headers = headers,
        type = headers["content-type"] or "application/octet-stream" }
      used.files = used.files + 1
      if used.files > limits.files then
        give_up(413, "%d files; limits.files is %.0f", used.files, limits.files)
      end
      local is_begun = false
      local put, finish = file_taker(limits, file)
      is_last = reader.skip(behind_line(function(piece)
        is_begun = true
        put(piece)
      end))
      if filename == "" and not is_begun then
        used.files = used.files - 1  -- nothing was chosen
      else
        finish()
        files[name] = file
        list[#list + 1] = file
      end
    else
      used.fields = used.fields + 1
      if used.fields > limits.fields then
        give_up(413, "%d fields; limits.fields is %.0f", used.fields, limits.fields)
      end
      local put, finish = field_taker(limits, used, name)
      is_last = reader.skip(behind_line(put))
      fields[name] = finish()
      list[#list + 1] = { name = name, value = fields[name] }
    end
  end
end

-- ---- what scripts call ---------------------------------------------------------------------

local function parse(env, limits)
  local fields, files, list = {}, {}, {}
  local length, content_type = tonumber(env.CONTENT_LENGTH), env.CONTENT_TYPE
  if type(content_type) ~= "string" then content_type = "" end
  local media = lower(match(content_type, "^[ \t]*([^; \t]*)"))
  if media == "multipart/form-data" then
    local boundary = boundary_of(content_type)
    multipart(source(limits, length), limits, boundary, fields, files, list)
  elseif media == "application/x-www-form-urlencoded" then
    urlencoded(source(limits, length), limits, fields, list)
  elseif media ~= "" or (length and length > 0) then
    give_up(415, "content type '%s' is not that of a form", shown(content_type))
  end
  return fields, files, list
end

local form = {}

-- Fields by name, files by name, and a list of both as they came; of equal names the last
-- counts. Or nil, a message, and the status that fits it.
function form.parse(env, request, limits)
  if type(env) ~= "table" then
    error("bad argument #1 to 'parse' (env expected, got "
      .. (env == nil and "no value" or type(env)) .. ")", 2)
  end
  if not rawequal(request, con) then
    error("bad argument #2 to 'parse' (con expected, got "
      .. (request == nil and "no value" or type(request)) .. ")", 2)
  end
  T.check_running("parse")
  if T.is_read() and (tonumber(env.CONTENT_LENGTH) or 0) > 0 then
    error("the request's body has been read already: form.parse reads it itself", 2)
  end
  limits = limits_of(limits)
  local ok, fields, files, list = T.pcall(parse, env, limits)
  if ok then return fields, files, list end
  if rawequal(fields, raised) then return nil, fields.message, fields.status end
  error(fields, 0)
end

return form
