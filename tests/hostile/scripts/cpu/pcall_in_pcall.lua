-- attack: catch the stop at many levels at once
-- expect: budget cpu
function main()
  local function f() pcall(f) pcall(f) end
  while true do pcall(f) end
end
