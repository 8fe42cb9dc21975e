-- attack: bodies, matches and dates without bounds in mod_lua's functions
-- expect: 200 alive or budget memory
-- body: 300000
function handle(r)
  for _, size in ipairs { -1, 0, 1e300, 0 / 0, 1 / 0, "x", {}, 2 ^ 53 } do
    pcall(r.parsebody, r, size)
    pcall(r.requestbody, r, nil, size)
    pcall(r.requestbody, r, "/tmp/luafarm-was-here", size)
    pcall(r.usleep, r, -1)
    pcall(r.custom_response, r, size, "x")
  end
  pcall(r.strcmp_match, r, ("a"):rep(3000), ("*a"):rep(1000) .. "b")
  for _, text in ipairs { ("1 aaa "):rep(20000), ("aaa "):rep(50000), (" "):rep(300000), "1 jan 99999999999 0:0", ("%"):rep(100000) } do
    for _, name in ipairs { "date_parse_rfc", "escape", "unescape", "escape_html", "os_escape_path", "escape_logitem", "base64_decode", "md5", "sha1", "getcookie" } do
      pcall(r[name], r, text)
    end
  end
  r:puts("alive")
end
