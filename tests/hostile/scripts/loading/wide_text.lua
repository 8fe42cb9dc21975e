-- attack: text at the limits of a compiler: locals, upvalues, constants, jumps, names
-- expect: 200 alive
local load_text = loadstring or load

function main(env, con)
  local function numbered(text, count, separator)
    local out = {}
    for index = 1, count do out[index] = text:gsub("N", index) end
    return table.concat(out, separator)
  end
  local many = numbered("vN", 250, ",")
  load_text("local " .. many)
  load_text(numbered("local vN = N ", 190, "") .. "return function() return " .. numbered("vN", 190, "+") .. " end")
  load_text("return {" .. numbered("'N'", 40000, ",") .. "}")
  load_text("return " .. numbered("f(N)", 300, "+"))
  load_text("f(" .. numbered("N", 300, ",") .. ")")
  load_text("while true do " .. ("x = 1 "):rep(30000) .. " end")
  load_text(("a"):rep(500000) .. " = 1")
  load_text("return '" .. ("\\065"):rep(50000) .. "'")
  load_text("return " .. ("9"):rep(50000))
  load_text("return 0x" .. ("f"):rep(50000) .. "p99999999")
  load_text("[" .. ("="):rep(50000) .. "[")
  load_text("goto a " .. ("::a:: "):rep(3))
  load_text("local function f(...) return ... end return " .. ("f("):rep(150) .. (")"):rep(150))
  con:puts("alive")
end
