-- attack: name chunks as the farm names its own, to be trusted or to run without end
-- expect: budget cpu
local load_text = loadstring or load

function main(env, con)
  for _, name in ipairs { "=luafarm", "=?", "@luafarm", "=[C]", "luafarm", "=(load)", "@" .. env.SCRIPT_FILENAME } do
    local f = load_text([[
      local con = ...
      for level = 0, 30 do
        local info = debug.getinfo(level, "Sf")
        if not info then break end
        if info.source == "=luafarm" and info.what ~= "C" then con:puts("ESCAPED") end
      end
      return debug.getupvalue(con.puts, 1) or debug.getlocal(2, 1)
    ]], name)
    local ok, found = pcall(f, con)
    if ok and type(found) ~= "nil" and found ~= "con" and found ~= "env" then con:puts("ESCAPED " .. tostring(found)) end
  end
  load_text("while true do pcall(error) end", "=luafarm")()
end
