-- attack: give a chunk the name of the farm's own code, to hide in error reports
-- expect: 500 hidden
local load_text = loadstring or load

function main(env, con)
  load_text("error('hidden')", "=luafarm")()
end
