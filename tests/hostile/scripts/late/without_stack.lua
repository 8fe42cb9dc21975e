-- attack: use for the first time what comes late at the very end of the stack, then elsewhere
-- expect: 200 alive or budget cpu
function main(env, con)
  local uses = {
    function() return debug.traceback("x") end, function() return debug.upvalueid and debug.upvalueid(main, 1) or true end,
    function() return collectgarbage("count") end,  function() return io.write("x\n") end,
    function() return os.setlocale() end, function() return ("%5s %s"):format("x", {}) end, function() return tostring({}) end,
    function() return require("luafarm.form") end, function() return math.log10 and math.log10(10) or 1 end,
  }
  local deepest
  local function dive(level, from, use)
    deepest = level
    if level > from then pcall(use) end
    return 1 + dive(level + 1, from, use)
  end
  pcall(dive, 1, math.huge)
  local from = deepest - 10
  for _, use in ipairs(uses) do pcall(dive, 1, from, use) end
  for index, use in ipairs(uses) do
    local ok, found = pcall(use)
    if not ok then con:puts("broken " .. index .. " " .. tostring(found)) end
  end
  con:puts("alive")
end
