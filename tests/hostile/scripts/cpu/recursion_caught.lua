-- attack: overflow the stack again and again and catch it
-- expect: budget cpu
function main()
  local function f() return 1 + f() end
  while true do pcall(f) end
end
