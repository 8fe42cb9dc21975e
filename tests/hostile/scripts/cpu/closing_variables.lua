-- attack: loop while variables are closed
-- only: lua54 lua55
-- expect: budget cpu
function main()
  local text = [[
    local meta = { __close = function() while true do end end }
    while true do pcall(function() local x <close> = setmetatable({}, meta) error("x") end) end
  ]]
  load(text)()
end
