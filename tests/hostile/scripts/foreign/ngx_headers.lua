-- attack: split the response of ngx by names, values, redirections and statuses
-- expect: 200 refused
local bad = { "x\r\nX-Escaped: 1", "x\nX-Escaped: 1\n\nspoiled", "x\0" }
for _, text in ipairs(bad) do
  for _, f in ipairs { function() ngx.header["X-A"] = text ngx.send_headers() end, function() ngx.header[text] = "1" ngx.send_headers() end,
    function() ngx.status = text end, function() ngx.header.content_type = { text, text } ngx.send_headers() end } do
    pcall(f)
  end
end
ngx.print("refused")
