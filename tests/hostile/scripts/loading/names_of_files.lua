-- attack: give a chunk the name of a file, to see its lines in the error page
-- expect: 500 boom
local load_text = loadstring or load

function main(env, con)
  local f = load_text("\n\nerror('boom')", "/etc/passwd")
  f()
end
