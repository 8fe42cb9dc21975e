-- Files that are written by tests, kept in memory: here, where no file may be written, and in the
-- plain interpreter alike.
local files, open = {}, io.open
local function reader(text)
  local at, file = 1, {}
  function file.read(_, what)
    if type(what) == "number" then
      local piece = text:sub(at, at + what - 1)
      at = at + what
      return piece ~= "" and piece or nil
    end
    local rest = text:sub(at)
    at = #text + 1
    return rest
  end
  function file.close() return true end
  return file
end
function io.open(name, mode)
  mode = mode or "r"
  if mode:find("[wa]") then
    local file, parts = {}, { mode:find("a") and files[name] or "" }
    function file.write(self, ...)
      for index = 1, select("#", ...) do parts[#parts + 1] = tostring((select(index, ...))) end
      return self
    end
    function file.close() files[name] = table.concat(parts) return true end
    return file
  end
  if files[name] then return reader(files[name]) end
  return open(name, mode)
end
