-- Dates and CSV: os.date and os.time both ways, generated code that is loaded, byte loops.
local M = {}

function M.iso(time) return os.date("!%Y-%m-%dT%H:%M:%SZ", time) end
function M.parse(text)
  local year, month, day, hour, minute, second = text:match("(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)Z")
  if not year then return nil, "no date: " .. tostring(text) end
  local time = os.time { year = year, month = month, day = day, hour = hour, min = minute, sec = second, isdst = false }
  local there = os.date("!*t", time)
  there.isdst = false
  return time + os.difftime(time, os.time(there))
end
function M.add_months(time, months)
  local t = os.date("*t", time)
  t.month = t.month + months
  return os.time(t)
end

-- A loader of a line of so many fields, made for that number.
local makers = {}
local function maker(count)
  if not makers[count] then
    local names = {}
    for index = 1, count do names[index] = ("[h[%d]] = f[%d]"):format(index, index) end
    makers[count] = assert((loadstring or load)(("local h, f = ... return { %s }"):format(table.concat(names, ", ")), "maker"))
  end
  return makers[count]
end

function M.csv(text, separator)
  local byte, rows, field, fields = string.byte, {}, {}, {}
  local comma, quote, newline = byte(separator or ","), byte('"'), byte("\n")
  local is_quoted, at, headers = false, 1, nil
  local function end_field() fields[#fields + 1] = table.concat(field) field = {} end
  local function end_row()
    end_field()
    if not headers then headers = fields else rows[#rows + 1] = maker(#headers)(headers, fields) end
    fields = {}
  end
  while at <= #text do
    local b = byte(text, at)
    if is_quoted then
      if b == quote and byte(text, at + 1) == quote then field[#field + 1] = '"' at = at + 1
      elseif b == quote then is_quoted = false
      else field[#field + 1] = string.char(b) end
    elseif b == quote then is_quoted = true
    elseif b == comma then end_field()
    elseif b == newline then end_row()
    else field[#field + 1] = string.char(b) end
    at = at + 1
  end
  if #field > 0 or #fields > 0 then end_row() end
  return rows, headers
end
return M
