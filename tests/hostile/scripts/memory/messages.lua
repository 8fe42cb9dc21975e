-- attack: error messages and tracebacks of megabytes
-- expect: 500 xxxx
function main()
  local name = ("x"):rep(1000000)
  error(name .. name)
end
