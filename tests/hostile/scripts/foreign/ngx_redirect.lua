-- attack: split the response by where ngx redirects to
-- expect: 500
ngx.redirect("/x\r\nX-Escaped: 1\r\n\r\nESCAPED")
