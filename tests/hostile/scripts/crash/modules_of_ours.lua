-- attack: the farm's modules with every odd argument
-- expect: 200 alive
function main(env, con)
  local odd = { 0, -1, 1e308, 0 / 0, "", "\0\255", ("%"):rep(10000), ("x=" .. ("%41"):rep(100) .. "&"):rep(100), {}, print,
    setmetatable({}, { __index = function() error("x") end, __len = function() return 1e15 end }), true }
  for _, name in ipairs { "luafarm", "luafcgid", "json", "md5", "base64" } do
    for key, f in pairs(require(name)) do
      if type(f) == "function" and key ~= "sleep" then
        for _, a in ipairs(odd) do
          pcall(f, a)
          pcall(f, a, a)
          pcall(f, "x", a, a)
        end
        pcall(f)
      end
    end
  end
  local circle = {}
  circle[1] = circle
  pcall(require("luafcgid").serialize, circle)
  con:puts("alive")
end
