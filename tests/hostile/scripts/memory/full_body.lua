-- attack: fill the memory, then have a long body come in
-- body: 3000000
-- expect: budget memory or 500 not enough memory or 200 read
function main(env, con)
  local kept = {}
  pcall(function() while true do kept[#kept + 1] = ("x"):rep(1000) .. #kept end end)
  local ok, text = pcall(con.gets, con)
  kept = nil
  con:puts("read " .. tostring(ok))
end
