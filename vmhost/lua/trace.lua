-- The traceback of a coroutine that died: the script's frames, in one form in every dialect,
-- without addresses and without our own functions' insides. Those that the script called
-- itself stand there as Lua's own do.
--
-- Provides: trace.
local T = ...
local find, gsub, concat = T.library.string.find, T.library.string.gsub, T.library.table.concat
local getinfo, rawget, rawequal = T.library.debug.getinfo, T.native.rawget, T.native.rawequal
local ipairs, environment = T.native.ipairs, T.environment

local ENDS = 20  -- frames told at either end of a deep stack
local ENTRIES = { T.config.handler, "handler", "startup", "shutdown" }  -- called by us

local function is_ours(info) return info.source == "=luafarm" or info.source == "=?" end

local function depth_of(thread)
  local low, high = 0, 1
  while getinfo(thread, high, "l") do low, high = high, high * 2 end
  while high - low > 1 do
    local middle = (low + high - (low + high) % 2) / 2
    if getinfo(thread, middle, "l") then low = middle else high = middle end
  end
  return high
end

local function name_of(info)
  local name = info.name
  if name and (name == "for iterator" or find(name, "^[%a_][%w_]*$")) then return "'" .. name .. "'" end
  for _, entry in ipairs(ENTRIES) do
    if rawequal(rawget(environment, entry), info.func) then return "'" .. entry .. "'" end
  end
end

-- file, line: where the error was raised, for LuaJIT forgets the innermost frame's line.
function T.trace(thread, file, line)
  local lines, depth, level, own = { "stack traceback:" }, depth_of(thread), 0, nil
  while level < depth do
    if level == ENDS and depth > 2 * ENDS then
      lines[#lines + 1] = "\t..."
      level, own = depth - ENDS, nil
    end
    local info = getinfo(thread, level, "Slnf")
    level = level + 1
    if info.what == "C" or is_ours(info) then
      own = name_of(info)  -- counts if the script called it
    elseif info.what ~= "tail" then
      if own then lines[#lines + 1] = "\t[C]: in function " .. own end
      own = nil
      local at, name = info.currentline, name_of(info)
      if at < 1 and #lines < 3 and gsub(info.source, "^[=@]", "") == file then at = line end
      lines[#lines + 1] = "\t" .. info.short_src .. (at > 0 and ":" .. at or "") .. ": in "
        .. (info.what == "main" and "main chunk" or "function "
          .. (name or "<" .. info.short_src .. ":" .. info.linedefined .. ">"))
    end
  end
  return #lines > 1 and concat(lines, "\n") or ""
end
