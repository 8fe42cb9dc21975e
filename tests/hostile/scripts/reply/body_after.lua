-- attack: read the body when the reply has ended and the host has let it go
-- expect: 200 sent
-- body: 2000000
function main(env, con)
  con:read(10)
  con:puts("sent")
  con:finish()
  for _, f in ipairs { con.read, con.gets } do
    local ok, found = pcall(f, con)
    if ok and found then print("ESCAPED: " .. #found) end
  end
  pcall(require("luafarm.form").parse, env, con)
  pcall(require("luafarm").data)
end
