-- A program in the style of Lapis: a basket in the session, forms, uploads, JSON, redirects.
local leaf = require("leaf")
local app = leaf.Application("a secret")

app:before_filter(function(self)
  self.session.seen = (self.session.seen or 0) + 1
  if self.params.banned then self.reply = { status = 403, render = function() h1("Go away") end } end
end)

app:get("index", "/", function(self)
  return { render = function()
    h1("Basket of " .. (self.session.user or "nobody"))
    ul({ class = "basket" }, function()
      for _, item in ipairs(self.session.basket or {}) do li(item) end
    end)
    p("seen " .. self.session.seen)
  end }
end)

app:get("item", "/item/:name", function(self)
  return { json = { name = self.params.name, q = self.params.q, url = self:url_for("item", { name = "x y" }) } }
end)

app:post("login", "/login", function(self)
  if (self.params.user or "") == "" then return { status = 422, json = { error = "who?" } } end
  self.session.user = self.params.user
  return { redirect_to = self:url_for("index") }
end)

app:post("add", "/add", function(self)
  self.session.basket = self.session.basket or {}
  table.insert(self.session.basket, self.params.item)
  return { status = 303, redirect_to = self:url_for("index") }
end)

app:post("upload", "/upload", function(self)
  local file = self.params.file
  return { json = { name = file.filename, bytes = #file.content, md5 = ngx.md5(file.content), note = self.params.note } }
end)

leaf.serve(app)
