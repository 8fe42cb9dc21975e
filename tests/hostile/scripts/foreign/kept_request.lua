-- attack: use the request of mod_lua that came before
-- expect: 200 refused
-- asks: 3
local before

function handle(r)
  if before then
    for _, f in ipairs { function() before:puts("ESCAPED") end, function() before.status = 500 end, function() before:flush() end,
      function() before.headers_out["X-Escaped"] = "1" end, function() before:sendfile("canary.lua") end, function() return before:parseargs() end,
      function() r.puts(before, "ESCAPED") end, function() before.content_type = "text/escaped" end } do
      if pcall(f) then r:puts("ESCAPED ") end
    end
  end
  before = r
  r:puts("refused")
  return apache2.OK
end
