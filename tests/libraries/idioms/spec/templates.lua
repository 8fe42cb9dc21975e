local templates = require("templates")
function test_values_are_escaped()
  local render = templates.compile("<p><%= name %>, <%- name %></p>")
  assert(render { name = "<b>" } == "<p>&lt;b&gt;, <b></p>")
end
function test_loops_and_globals()
  local render = templates.compile("<% for i, v in ipairs(list) do %><%= i %>:<%= v:upper() %> <% end %>")
  assert(render { list = { "a", "b" } } == "1:A 2:B ")
end
function test_an_error_tells_the_line()
  local out, why = templates.compile("a\n<% if x then %>")({})
  assert(out == nil and why:find("^line %d+: "), why)
  out, why = templates.compile("<%= nothing.here %>") {}
  assert(out == nil and why:find("nothing"), why)
end
function test_what_a_template_sets_stays_in_it()
  templates.compile("<% leaked = 1 %>") {}
  assert(rawget(_G, "leaked") == nil)
end
function test_mustache_sections()
  local text = templates.mustache("{{#people}}{{name}}{{^last}}, {{/last}}{{/people}}{{^none}}!{{/none}}",
    { people = { { name = "A&B" }, { name = "C", last = true } } })
  assert(text == "A&amp;B, C!", text)
end
function test_mustache_lambdas_and_partials()
  local view = { wrap = function(t, render) return "[" .. render(t) .. "]" end, n = 1, o = { p = "<" } }
  assert(templates.mustache("{{#wrap}}{{n}}{{/wrap}}{{>part}}{{{o.p}}}{{&o.p}}", view, { part = "p{{n}}" }) == "[1]p1<<")
end
