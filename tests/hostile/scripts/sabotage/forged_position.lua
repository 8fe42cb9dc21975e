-- attack: an error message that claims a line number no integer holds
-- expect: 500 boom
function main(env, con)
  error(env.SCRIPT_FILENAME .. ":" .. ("9"):rep(400) .. ": boom", 0)
end
