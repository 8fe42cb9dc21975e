-- A program for Apache's mod_lua: a guest is greeted, by a form or a cookie.
local function page(r, name)
  r.content_type = "text/html; charset=utf-8"
  r:puts("<!DOCTYPE html>\n<title>mod_lua</title>\n")
  r:puts("<p>Hello, ", r:escape_html(name), "!</p>\n")
  r:puts("<form method=\"post\" action=\"", r:escape_html(r.uri), "\">")
  r:puts("<input name=\"name\"> <button>That is me</button></form>\n")
  r:puts("<p>", r.method, " from ", r.useragent_ip or "somewhere", "</p>\n")
  return apache2.OK
end

function handle(r)
  if r.method == "GET" then
    local query = r:parseargs()
    local known = r:getcookie("name")
    return page(r, query.name or known and r:unescape(known) or "whoever you are")
  elseif r.method == "POST" then
    local form = r:parsebody()
    if not form.name then return 400 end
    r:setcookie { key = "name", value = form.name, path = "/", httponly = true }
    r.headers_out["Location"] = r.uri
    return 303
  end
  r.status = 405
  r.headers_out["Allow"] = "GET, POST"
  r:puts("GET or POST, please.\n")
end
