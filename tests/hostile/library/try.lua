-- Make attempts by name, each a function that returns something true when it gets through;
-- say which ones did, or "refused".
return function(con, attempts)
  local through = false
  for name, attempt in pairs(attempts) do
    local ok, got = pcall(attempt)
    if ok and got then
      through = true
      con:puts("ESCAPED by " .. name .. "\n")
    end
  end
  if not through then con:puts("refused") end
end
