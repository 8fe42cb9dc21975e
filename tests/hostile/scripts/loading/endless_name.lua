-- attack: a chunk whose text, three megabytes, is its name in the error report
-- expect: 500 boom or budget memory
local load_text = loadstring or load

function main(env, con)
  load_text("error('boom') --" .. ("x"):rep(3e6))()
end
