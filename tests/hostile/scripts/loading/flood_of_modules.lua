-- attack: ask for modules without end that are not there
-- expect: 200 refused
function main(env, con)
  for index = 1, 5000 do
    local ok = pcall(require, "none" .. index)
    if ok then con:puts("ESCAPED") end
  end
  con:puts("refused")
end
