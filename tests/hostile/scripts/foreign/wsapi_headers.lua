-- attack: split the response of WSAPI by statuses, names and values
-- expect: 500
-- asks: 10
local at = 0
local replies = {
  { "200 OK\r\nX-Escaped: 1", {} }, { 200, { ["X\r\nX-Escaped"] = "1" } }, { 200, { ["X-A"] = "1\nX-Escaped: 1" } },
  { 200, { ["X-A"] = { "ok", "1\r\n\r\nESCAPED" } } }, { 99, {} }, { 1e300, {} }, { {}, {} }, { 200, "X-Escaped: 1" },
  { 200, setmetatable({ Location = "x\r\nX-Escaped: 1" }, { __pairs = function() return next, {} end }) },
  { setmetatable({}, { __tostring = function() return "200\r\nX-Escaped: 1" end }), {} },
}

return function()
  at = at % #replies + 1
  return replies[at][1], replies[at][2], function() return nil end
end
