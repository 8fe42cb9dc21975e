-- A serializer that names what is global, writes references after the tables, and sorts keys as
-- people do: what debug printers and savers of settings do.
local M = {}
local names = {}
for _, library in ipairs { "coroutine", "debug", "io", "math", "string", "table", "os", "utf8" } do
  for key, value in pairs(type(_G[library]) == "table" and _G[library] or {}) do
    names[value] = library .. "." .. key
  end
end
for key, value in pairs(_G) do if type(value) == "function" then names[value] = key end end

local keywords = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat "
  .. "return then true until while"):gmatch("%a+") do keywords[word] = true end

local function quoted(text)
  return (("%q"):format(text):gsub("\010", "n"):gsub("\026", "\\026"))
end
local function padded(key)
  return type(key) == "number" and ("n%021.3f"):format(key)
    or tostring(key):gsub("%d+", function(digits) return ("%017d"):format(tonumber(digits)) end)
end
local function number(n)
  if n ~= n then return "0/0" elseif n == math.huge then return "math.huge"
  elseif n == -math.huge then return "-math.huge" end
  return (math.type and math.type(n) == "integer" and "%d" or "%.17g"):format(n)
end

function M.dump(root)
  local seen, later = { [root] = "t" }, {}
  local function write(value, path)
    local kind = type(value)
    if kind == "string" then return quoted(value) elseif kind == "number" then return number(value)
    elseif kind == "boolean" or value == nil then return tostring(value)
    elseif kind ~= "table" then
      return names[value] or ("nil --[[%s]]"):format(kind)
    end
    local keys, parts = {}, {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys, function(one, other) return padded(one) < padded(other) end)
    for _, key in ipairs(keys) do
      local item = value[key]
      local is_name = type(key) == "string" and key:match("^[%a_][%w_]*$") and not keywords[key]
      local shown = is_name and key or "[" .. write(key, path) .. "]"
      local inner = path .. (is_name and "." .. key or shown)
      if type(item) == "table" and seen[item] then later[#later + 1] = inner .. " = " .. seen[item]
      else
        if type(item) == "table" then seen[item] = inner end
        parts[#parts + 1] = shown .. " = " .. write(item, inner)
      end
    end
    return "{" .. table.concat(parts, ", ") .. "}"
  end
  local text = "local t = " .. write(root, "t") .. "\n"
  for _, line in ipairs(later) do text = text .. line .. "\n" end
  return text .. "return t"
end

function M.load(text)
  local f, why = (loadstring or load)(text, "=saved")
  if not f then return nil, why end
  return pcall(f)
end
return M
