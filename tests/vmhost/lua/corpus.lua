-- Run each line of CASES as a chunk and tell what it returned, one line for each: the same text
-- in a sandboxed state and in a plain interpreter.
local concat, sort, format, type, tostring = table.concat, table.sort, string.format, type, tostring
local pairs, pcall, select, load, rawget = pairs, pcall, select, loadstring or load, rawget
local gsub, gmatch, match, traceback = string.gsub, string.gmatch, string.match, debug.traceback
local math_type = math.type

local function show(value, depth)
  local kind = type(value)
  if kind == "string" then
    value = gsub(value, "0x%x%x%x%x%x+", "0x")
    return (gsub(gsub(format("%q", value), "\\\n", "\\n"), "\r", "\\r"))
  elseif kind == "number" then
    return (math_type and math_type(value) == "float" and "float " or "") .. tostring(value)
  elseif kind == "table" then
    if depth > 3 then return "{...}" end
    local parts = {}
    for key, inner in pairs(value) do
      parts[#parts + 1] = "[" .. show(key, depth + 1) .. "]=" .. show(inner, depth + 1)
    end
    sort(parts)
    return "{" .. concat(parts, ",") .. "}"
  elseif kind == "nil" or kind == "boolean" then
    return tostring(value)
  end
  return kind
end

local function told(ok, ...)
  local parts = { ok and "ok" or "error" }
  for index = 1, select("#", ...) do parts[index + 1] = show((select(index, ...)), 1) end
  return concat(parts, " ")
end

local function run()
  local lines = {}
  for case in gmatch(CASES, "[^\n]+") do
    if match(case, "^%-%-") == nil then
      local chunk, message = load(case, "=case")
      lines[#lines + 1] = chunk and told(pcall(chunk)) or "syntax " .. show(message, 1)
    end
  end
  return concat(lines, "\n") .. "\n"
end
