-- attack: compile more text than a state can hold
-- expect: 200 refused or budget memory
function main(env, con)
  local text = ("x = 1 "):rep(100000)
  local all = {}
  for index = 1, 40 do all[index] = text end
  local index = 0
  local f = load(function() index = index + 1 return all[index] end)
  con:puts(f and "ESCAPED" or "refused")
end
