-- attack: use for the first time what comes late when memory is used up, then again when there is some
-- expect: 200 alive or budget memory or 500 not enough memory
function main(env, con)
  local uses = {
    function() return debug.traceback("x") end, function() return debug.getinfo(1, "S").what end,
    function() return collectgarbage("count") end, function() return io.type(io.open("../canary.lua")) end,
    function() return os.setlocale() end, function() return ("%5s %s"):format("x", {}) end,
    function() return tostring({}) end, function() return math.log10 and math.log10(10) or 1 end,
    function() return require("luafarm.crypto").sha1("x") end, function() return require("luafarm.cookies").parse({}) end,
    function() return package.searchpath("x", "?") or true end, function() return debug.gethook() or true end,
    function() con:cookie("a", "b", 1) return true end, function() return ("x"):find("(x)[x]") or true end,
  }
  local keep = {}
  local function fill()
    for size = 15, 2, -1 do
      pcall(function() while true do keep[#keep + 1] = ("x"):rep(2 ^ size) .. #keep end end)
    end
  end
  for _, use in ipairs(uses) do
    fill()
    for _ = 1, 40 do
      pcall(use)
      keep[#keep] = nil
    end
  end
  keep = {}
  collectgarbage()
  for index, use in ipairs(uses) do
    local ok, found = pcall(use)
    if not ok or not found then return con:puts("broken " .. index .. " " .. tostring(found)) end
  end
  if pcall(function() return (nil).x end) then con:puts("ESCAPED: nil has a metatable") end
  con:puts("alive")
end
