-- A program for Apache's mod_lua: a guest book with a form, uploads, cookies and redirects.
local entries = {}

local function page(r, title)
  r.content_type = "text/html; charset=utf-8"
  r:puts("<!DOCTYPE html><title>", r:escape_html(title), "</title>\n")
end

local function show(r)
  local seen = tonumber(r:getcookie("seen") or 0) or 0
  r:setcookie { key = "seen", value = tostring(seen + 1), path = "/", httponly = true }
  local query = r:parseargs()
  page(r, "Guests")
  r:puts("seen ", seen, ", for ", r:escape_html(query.name or "all"), "\n")
  for _, entry in ipairs(entries) do r:puts("<p>", r:escape_html(entry), "</p>\n") end
  return apache2.OK
end

local function sign(r)
  local form = r:parsebody(1000000)
  if not form.text or form.text == "" then
    r:custom_response(400, "nothing to say?")
    return 400
  end
  table.insert(entries, (form.name or "somebody") .. ": " .. form.text)
  r.err_headers_out["X-Entries"] = #entries
  r.headers_out["Location"] = r.uri
  return 303
end

function handle(r)
  local where = r.path_info or ""
  if where == "" and r.method == "GET" then return show(r) end
  if where == "" and r.method == "POST" then return sign(r) end
  if where == "/upload" and r.method == "POST" then
    local form = r:parsebody(1000000)
    r.content_type = "text/plain"
    r:puts(#form.file, " ", r:md5(form.file), " ", form.note)
    return apache2.OK
  end
  if where == "/headers" then
    r.content_type = "text/plain"
    r:puts(r.headers_in["x-ASKED"] or "nothing", " ", r.subprocess_env["REQUEST_METHOD"] or "?")
    return apache2.OK
  end
  return apache2.DECLINED
end
