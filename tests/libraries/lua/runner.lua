-- Runs one job and says line by line what came out of it: the same text in a sandboxed state and in
-- a plain interpreter. Before it stand JOB and what each kind of job does, KINDS.
--
-- A line is \1, what it is of ("ok", "not ok"), a tab, the name, and a tab and the message.
local error, pcall, tostring, type, xpcall = error, pcall, tostring, type, xpcall
local gsub, sub, traceback = string.gsub, string.sub, debug.traceback

local MOST_BYTES = 400 -- of a message

-- What an error value says, whatever it is.
local function said(value)
  if type(value) == "table" and value.message ~= nil then value = value.message end
  local ok, text = pcall(tostring, value)
  text = ok and type(text) == "string" and text or "(an error value that cannot be told)"
  return (gsub(sub(text, 1, MOST_BYTES), "[%c]", " "))
end

local function run(put)
  local seen = {}
  local function report(is_ok, name, why)
    name = gsub(name, "%c", " ")
    seen[name] = (seen[name] or 0) + 1
    if seen[name] > 1 then name = name .. " (" .. seen[name] .. ")" end
    if is_ok then put("\n\1ok\t" .. name .. "\n")
    else put("\n\1not ok\t" .. name .. "\t" .. said(why) .. "\n") end
  end
  -- Some suites ask for the name of their program.
  arg = { [0] = JOB.file }
  local function failed(why)
    if type(why) ~= "string" then return why end
    return why .. (JOB.is_long and traceback("", 2) or "")
  end
  local ok, why = xpcall(function() KINDS[JOB.kind](report, failed) end, failed)
  if not ok then report(false, JOB.file, why) end
  put("\n\1end\t" .. JOB.file .. "\n")
end
