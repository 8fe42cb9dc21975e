-- attack: a stack as deep as it goes
-- expect: 500 stack overflow or budget memory or 500 not enough memory
function main()
  local function f(...) return 1 + f(1, 2, 3, ...) end
  f()
end
