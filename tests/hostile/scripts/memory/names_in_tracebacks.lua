-- attack: function names of a megabyte in the traceback
-- expect: 500 or budget memory
local load_text = loadstring or load

function main()
  local name = ("x"):rep(300000)
  load_text("local t = {} function t." .. name .. "() t.no() end t." .. name .. "()")()
end
