-- Urlencoded text.
local T = ...
local byte, char, find, gmatch, gsub, sub = T.library.string.byte, T.library.string.char,
  T.library.string.find, T.library.string.gmatch, T.library.string.gsub, T.library.string.sub
local format, tonumber = T.library.string.format, T.native.tonumber

local function unhex(digits) return char(tonumber(digits, 16)) end

function T.urldecode(text)
  if find(text, "+", 1, true) then text = gsub(text, "+", " ") end
  if find(text, "%", 1, true) then text = gsub(text, "%%(%x%x)", unhex) end
  return text
end

local function hex(c) return format("%%%02X", byte(c)) end

function T.urlencode(text)
  text = gsub(text, "[^%w%-._~ ]", hex)
  return (gsub(text, " ", "+"))
end

-- Iterate over the decoded names and values of urlencoded text, with one string each.
function T.pairs_of(text)
  local next_piece = gmatch(text, "[^&;]+")
  return function()
    local piece = next_piece()
    if not piece then return nil end
    local at = find(piece, "=", 1, true)
    if not at then return T.urldecode(piece), "" end
    return T.urldecode(sub(piece, 1, at - 1)), T.urldecode(sub(piece, at + 1))
  end
end
