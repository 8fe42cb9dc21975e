-- attack: every metamethod calls itself without end
-- expect: 200 alive or budget memory
function main(env, con)
  local meta = {}
  local a, b = setmetatable({}, meta), setmetatable({}, meta)
  meta.__index = function(t, k) return t[k .. "x"] end
  meta.__newindex = function(t, k, v) t[k .. "x"] = v end
  meta.__call = function(f, ...) return f(...) + 1 end
  meta.__concat = function(x, y) return x .. y end
  meta.__add = function(x, y) return x + y + 1 end
  meta.__unm = function(x) return -x + 1 end
  meta.__len = function(x) return #x + 1 end
  meta.__eq = function(x, y) return not (x == y) end
  meta.__lt = function(x, y) return not (x < y) end
  meta.__le = function(x, y) return not (x <= y) end
  meta.__tostring = function(x) return tostring(x) .. "x" end
  meta.__pairs = function(x) return pairs(x) + 1 end
  meta.__idiv, meta.__band, meta.__close = meta.__add, meta.__add, meta.__unm
  for _, attempt in ipairs {
    function() return a.x end, function() a.x = 1 end, function() return a() end,
    function() return a .. b end, function() return a + b end, function() return -a end,
    function() return #a end, function() return a == b end, function() return a < b end,
    function() return a <= b end, function() return tostring(a) end,
    function() return pairs(a) end, function() return ("%s"):format(a) end,
    function() table.sort { a, b, a, b } end, function() error(a) end,
  } do
    pcall(attempt)
  end
  con:puts("alive")
end
