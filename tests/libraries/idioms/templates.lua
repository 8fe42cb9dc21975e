-- Templates compiled to Lua text, as engines with <% %> do it: generated code, an environment of its
-- own in every version of the language, and errors told by the line of the template.
local M = {}
local setfenv, loadstring = setfenv, loadstring

local function compile(code, name, env)
  if setfenv then
    local f, why = loadstring(code, name)
    return f and setfenv(f, env), why
  end
  return load(code, name, "t", env)
end

local escapes = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#039;" }
local function escape(text) return (tostring(text):gsub([=[["><'&]]=], escapes)) end

function M.compile(template)
  local code, at = { "local _b, _e, _n = ...\n" }, 1
  while true do
    local first, last, mark, inner = template:find("<%%([=%-]?)%s*(.-)%s*%%>", at)
    local text = template:sub(at, (first or 0) - 1)
    if text ~= "" then code[#code + 1] = ("_n = _n + 1 _b[_n] = %q\n"):format(text) end
    if not first then break end
    if mark == "=" then code[#code + 1] = ("_n = _n + 1 _b[_n] = _e(%s)\n"):format(inner)
    elseif mark == "-" then code[#code + 1] = ("_n = _n + 1 _b[_n] = tostring(%s)\n"):format(inner)
    else code[#code + 1] = inner .. "\n" end
    at = last + 1
  end
  code[#code + 1] = "return _b"
  local text = table.concat(code)
  return function(values)
    local env = setmetatable({}, { __index = function(_, name)
      local value = values and values[name]
      if value == nil then return _G[name] end
      return value
    end })
    local f, why = compile(text, "template", env)
    if not f then
      local line, message = why:match('^%[string "template"%]:(%d+): (.*)$')
      return nil, ("line %s: %s"):format(line or "?", message or why)
    end
    local ok, out = pcall(f, {}, escape, 0)
    if not ok then
      local line, message = tostring(out):match('%[.-%]:(%d+): (.*)$')
      return nil, ("line %s: %s"):format(line or "?", message or out)
    end
    return table.concat(out)
  end
end

-- Mustache: a scanner over the text, contexts that fall back to their parents, partials.
local function lookup(stack, name)
  if name == "." then return stack[#stack] end
  for index = #stack, 1, -1 do
    local value = stack[index]
    for part in name:gmatch("[^%.]+") do
      value = type(value) == "table" and value[part] or nil
      if value == nil then break end
    end
    if value ~= nil then return value end
  end
end

local function render(text, stack, partials)
  local out = {}
  local at = 1
  while true do
    local first, last, sigil, name = text:find("{{([#/^>&!{]?)%s*([%w_%.]*)%s*}?}}", at)
    out[#out + 1] = text:sub(at, (first or 0) - 1)
    if not first then return table.concat(out) end
    at = last + 1
    if sigil == "#" or sigil == "^" then
      local close_first, close_last = text:find("{{/%s*" .. name:gsub("%p", "%%%0") .. "%s*}}", at)
      assert(close_first, "unclosed section " .. name)
      local inner, value = text:sub(at, close_first - 1), lookup(stack, name)
      at = close_last + 1
      local is_empty = not value or (type(value) == "table" and next(value) == nil)
      if sigil == "^" then
        if is_empty then out[#out + 1] = render(inner, stack, partials) end
      elseif type(value) == "function" then
        out[#out + 1] = value(inner, function(t) return render(t, stack, partials) end)
      elseif type(value) == "table" and #value > 0 then
        for _, item in ipairs(value) do
          stack[#stack + 1] = item
          out[#out + 1] = render(inner, stack, partials)
          stack[#stack] = nil
        end
      elseif not is_empty then
        stack[#stack + 1] = value
        out[#out + 1] = render(inner, stack, partials)
        stack[#stack] = nil
      end
    elseif sigil == ">" then out[#out + 1] = render(partials[name] or "", stack, partials)
    elseif sigil == "&" or sigil == "{" then out[#out + 1] = tostring(lookup(stack, name) or "")
    elseif sigil == "" then
      local value = lookup(stack, name)
      out[#out + 1] = escape(type(value) == "function" and value() or value == nil and "" or value)
    end
  end
end
function M.mustache(text, view, partials) return render(text, { view }, partials or {}) end

return M
