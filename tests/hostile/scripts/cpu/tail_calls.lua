-- attack: tail calls without end
-- expect: budget cpu
function main()
  local function f() return f() end
  f()
end
