function test_parts_find_each_other_by_name()
  local family = require("family")
  assert(family.name == "family" and family.near.name == "family.near" and family.near.far().word == "far")
end
function test_parts_are_loaded_when_they_are_named()
  local family = require("family")
  assert(family.far.word == "far" and family.nothing == nil)
end
function test_a_part_is_loaded_in_a_metamethod()
  package.loaded.family, package.loaded["family.far"] = nil, nil
  assert(tostring(require("family")) == "family with far")
end
function test_require_says_where_it_looked()
  local ok, why = pcall(require, "no.such.module")
  assert(not ok and why:find("module 'no.such.module' not found:", 1, true), why)
  assert(why:find("no file '[^']*no/such/module.lua'"), why)
end
function test_preloaded_modules_go_first()
  package.preload["family.made"] = function(name) return { made = name } end
  assert(require("family").made.made == "family.made")
end
function test_a_module_is_loaded_once()
  assert(require("family") == require("family") and package.loaded.family == require("family"))
end
