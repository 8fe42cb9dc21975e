-- attack: split the response of mod_lua by names and values in every table and field
-- expect: 200 refused
function handle(r)
  local bad = { "x\r\nX-Escaped: 1", "x\nX-Escaped: 1\n\nESCAPED", "x\0", "x\rX-Escaped: 1" }
  for _, text in ipairs(bad) do
    r.headers_out["X-A"] = text
    r.err_headers_out["X-B"] = text
    pcall(function() r.content_type = text end)
    pcall(function() r.status = text end)
    pcall(r.setcookie, r, "a", text)
    pcall(r.setcookie, r, { key = text, value = "b" })
    pcall(r.setcookie, r, { key = "a", value = "b", path = text, domain = text })
    pcall(r.custom_response, r, 404, text)
  end
  r.headers_out["X-A"], r.err_headers_out["X-B"], r.content_type = nil, nil, "text/plain"
  r:puts("refused")
end
