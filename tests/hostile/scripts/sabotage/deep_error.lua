-- attack: an error with a traceback as deep as the stack
-- expect: 500 deep
function main()
  local function f(n) if n == 0 then error("deep") end return (f(n - 1)) end
  f(5000)
end
