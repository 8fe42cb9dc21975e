-- attack: content types of any size, form and type
-- expect: 200 alive
-- body: 70000
local form = require "luafarm.form"

function main(env, con)
  for _, kind in ipairs { ("multipart/form-data;"):rep(20000), "multipart/form-data; boundary=" .. ("b"):rep(1e6), "multipart/form-data; boundary=\"" .. ('\\"'):rep(200000),
    "multipart/form-data" .. ("; a"):rep(100000), "multipart/form-data; " .. (" "):rep(1e6) .. "boundary=x", "multipart/form-data; boundary=", "multipart/form-data; boundary=\0",
    "multipart/form-data; " .. ("a"):rep(1e6) .. " x", "\0", ("x"):rep(1e6), 5, {}, true, "multipart/form-data; boundary=%b()" } do
    pcall(form.parse, { CONTENT_TYPE = kind, CONTENT_LENGTH = "1e999" }, con)
    pcall(form.parse, { CONTENT_TYPE = kind }, con)
    pcall(form.parse, setmetatable({}, { __index = function() return kind end }), con)
  end
  con:puts("alive")
end
