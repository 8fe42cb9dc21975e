-- attack: names of headers that end lines, in mod_lua's tables, for a status that handle returns
-- expect: 500
function handle(r)
  r.err_headers_out["X: 1\r\nX-Escaped"] = "1"
  r.headers_out["X\nX-Escaped"] = "1"
  r.err_headers_out["Location"] = "x"
  return 302
end
