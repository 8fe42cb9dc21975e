"""`package` and `require` as users of stock Lua know them."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Op,
    Script,
    attack_on_every_sandboxed_dialect,
    evaluate,
    every_dialect,
    every_sandboxed_dialect,
)

LIST = "local list = package.searchers or package.loaders\n"
TWO_RESULTS = (Dialect.LUA54, Dialect.LUA55)


@every_dialect
@pytest.mark.parametrize("name", ["json", "md5", "base64"])
def test_a_file_of_the_script_s_own_wins_over_what_is_built_in(
    dialect: Dialect, name: str
) -> None:
    modules = {name: "return { _version = 'own' }"}
    code = f"return require('{name}')._version"
    assert evaluate(code, dialect, modules=modules) == "own"
    assert evaluate(f"return type(require('{name}').encode)", dialect) != "own"


@every_dialect
@pytest.mark.parametrize("name", ["json", "md5", "base64"])
def test_a_script_that_is_called_as_what_is_built_in_gets_that(
    dialect: Dialect, name: str
) -> None:
    source = (
        f"local m = require '{name}'\n"
        "function main(env, con) con:puts(type(m.encode or m.digest)) end"
    )
    modules = {name: source}
    path = f"/srv/lib/{name}".encode()  # as modules are found
    assert Script(source, dialect, modules=modules, name=path).run().text == "function"


@every_dialect
@pytest.mark.parametrize("name", ["luafarm", "luafcgid"])
def test_luafarm_and_luafcgid_are_always_ours(dialect: Dialect, name: str) -> None:
    script = Script(
        f"local m = require '{name}'\n"
        "function main(env, con) con:puts(type(m.parse)) end",
        dialect,
        modules={name: "return {}"},
    )
    assert script.loaded.operations == [Op.DONE]
    assert script.run().text == "function"


@every_dialect
def test_no_file_becomes_a_module_of_luafarm(dialect: Dialect) -> None:
    modules = {"luafarm.store": "return {}"}
    failure = Script("require 'luafarm.store'", dialect, modules=modules).loaded.failure
    assert "module 'luafarm.store' not found" in failure.message


@every_dialect
@pytest.mark.parametrize(
    "why",
    [
        b"cannot read '/srv/www/json.lua': permission denied",
        b"the broker cannot be reached",
        b"no file '/srv/www/json.lua': a link that leads outside of the pool's"
        b" directories",
    ],
)
def test_no_built_in_module_stands_in_for_a_file_that_cannot_be_read(
    dialect: Dialect, why: bytes
) -> None:
    script = Script("function main(env, con) require 'json' end", dialect)
    assert script.state.run(b"", b"")[0] == Op.REQUIRE
    reply = script.finish(script.state.resume(False, why, b""), b"", b"")
    assert "module 'json' not found" in reply.failure.message
    assert why.decode() in reply.failure.message


@every_dialect
def test_require_has_as_many_results_as_in_the_dialect(dialect: Dialect) -> None:
    code = """
      package.preload.x = function() return { 1 } end
      return select("#", require "x") .. select("#", require "x")
        .. select("#", require "m")
    """
    result = evaluate(code, dialect, modules={"m": "return 1"})
    assert result == ("212" if dialect in TWO_RESULTS else "111")


@every_sandboxed_dialect
def test_package_path_leads_to_files_of_the_script(dialect: Dialect) -> None:
    code = """
      package.path = "./lib2/?.lua;./lib3/?/init.lua;" .. package.path
      return require("submod").x .. require("a.b") .. require("m")
    """
    result = evaluate(
        code,
        dialect,
        modules={"m": "return 'm'"},
        files={
            "./lib2/submod.lua": "return { x = 11 }",
            "./lib3/a/b/init.lua": "return 'ab'",
        },
    )
    assert result == "11abm"


@every_sandboxed_dialect
def test_templates_are_tried_in_their_order(dialect: Dialect) -> None:
    modules, files = {"m": "return 'host'"}, {"one/m": "return 1", "two/m": "return 2"}
    for path, right in {
        "one/?;two/?": "1",
        "two/?;one/?": "2",
        "none/?;./?.lua;./?/init.lua;one/?": "host",
        "one/?;./?.lua;./?/init.lua": "1",
        "none/?": "host",
        "": "host",
    }.items():
        code = f"package.path = '{path}' return require 'm'"
        assert evaluate(code, dialect, modules=modules, files=files) == right, path


@every_sandboxed_dialect
def test_a_module_of_the_path_that_does_not_compile_says_so(dialect: Dialect) -> None:
    code = "package.path = 'x/?.lua' return select(2, pcall(require, 'm'))"
    said = evaluate(code, dialect, files={"x/m.lua": "x ="})
    assert said.startswith(
        "error loading module 'm' from file '/srv/lib/x/m.lua':\n\t/srv/lib/x/m.lua:1: "
    ), said


@every_sandboxed_dialect
def test_a_searcher_of_the_script_is_asked_in_its_place(dialect: Dialect) -> None:
    code = (
        LIST
        + """
      table.insert(list, 2, function(name)
        if name == "virtual" then return function(...) return { v = 7, n = ... } end end
        return "\\n\\tnot virtual"
      end)
      local m = require "virtual"
      local _, why = pcall(require, "none")
      return m.v .. m.n .. tostring(why:find("not virtual") < why:find("no file")) ..
        tostring(require "virtual" == m)
    """
    )
    assert evaluate(code, dialect) == "7virtualtruetrue"


@every_sandboxed_dialect
def test_a_searcher_may_ask_the_host(dialect: Dialect) -> None:
    code = (
        LIST
        + """
      list[#list + 1] = function(name)
        local f = io.open(name .. ".moon")
        local text = f:read("*a")
        return function() return text end
      end
      return require "x"
    """
    )
    assert evaluate(code, dialect, files={"x.moon": "moon"}) == "moon"


@every_sandboxed_dialect
def test_a_list_of_searchers_that_is_none_is_a_clear_error(dialect: Dialect) -> None:
    code = """
      package.searchers, package.loaders = 5, 5
      return select(2, pcall(require, "x"))
    """
    name = "loaders" if dialect is Dialect.LUAJIT21 else "searchers"
    assert evaluate(code, dialect).endswith(f"'package.{name}' must be a table")


@every_sandboxed_dialect
def test_searchpath_tells_where_a_file_is(dialect: Dialect) -> None:
    code = """
      local function told(found, why) return tostring(found) .. "=" .. tostring(why) end
      return table.concat({
        told(package.searchpath("a.b", "x/?.lua;y/?.lua")),
        told(package.searchpath("a-b", "y/?.lua", "-")),
        told(package.searchpath("a.b", "y/?.lua", "", "")),
        told(package.searchpath("m", package.path)),
        told(package.searchpath("none", package.path)),
      }, "|")
    """
    found = evaluate(
        code, dialect, modules={"m": ""}, files={"y/a/b.lua": "", "y/a.b.lua": ""}
    )
    begin = "" if dialect in TWO_RESULTS else "\n\t"
    assert found == (
        "y/a/b.lua=nil|y/a/b.lua=nil|y/a.b.lua=nil|/srv/lib/m=nil|"
        f"nil={begin}no file for none"
    )


@every_sandboxed_dialect
def test_the_standard_libraries_can_be_required(dialect: Dialect) -> None:
    code = """
      for _, name in ipairs { "string", "table", "math", "io", "os", "coroutine",
        "package", "debug", "utf8", "bit", "bit32" } do
        if _G[name] then assert(require(name) == _G[name], name) end
      end
      return require "_G" == _G
    """
    assert evaluate(code, dialect) == "true"


@every_sandboxed_dialect
def test_a_c_library_cannot_be_loaded_and_nothing_is_raised(dialect: Dialect) -> None:
    code = """
      local f, why, where = package.loadlib("/x.so", "*")
      return tostring(f) .. "|" .. why .. "|" .. where .. "|" .. package.cpath
    """
    assert evaluate(code, dialect) == (
        "nil|dynamic libraries not enabled; check your Lua installation|absent|"
    )


@every_sandboxed_dialect
def test_a_module_that_failed_is_tried_again_where_lua_does(dialect: Dialect) -> None:
    code = """
      pcall(require, "m")
      local ok, why = pcall(require, "m")
      return tostring(ok) .. count .. tostring(why)
    """
    modules = {
        "m": "count = (count or 0) + 1 if count == 1 then error('x') end return 'ok'"
    }
    said = evaluate(code, dialect, modules=modules)
    if dialect is Dialect.LUAJIT21:
        assert said.startswith("false1")
        assert "loop or previous error" in said
    else:
        assert said == "true2ok"


@attack_on_every_sandboxed_dialect
def test_a_long_path_is_no_way_around_the_budgets(dialect: Dialect) -> None:
    code = """
      package.path = ("x/?.lua;"):rep(20000)
      local ok, why = pcall(require, "none")
      return tostring(ok)
    """
    assert evaluate(code, dialect) == "false"


# ---- chunk names ---------------------------------------------------------------------


@every_dialect
def test_messages_name_the_file_as_stock_lua_does(dialect: Dialect) -> None:
    script = Script(
        """
        local m = require "m"
        function main(env, con)
          con:puts(select(2, pcall(error, "x", 0)) .. "|")
          con:puts(select(2, pcall(function() error("own") end)) .. "|")
          con:puts(select(2, pcall(m)))
        end
        """,
        dialect,
        modules={"m": "return function()\n error('inner') end"},
    )
    assert script.run().text == "x|/srv/www/page.lua:5: own|/srv/lib/m:2: inner"


@every_dialect
def test_a_message_cannot_claim_a_file_that_was_not_loaded(dialect: Dialect) -> None:
    failure = (
        Script("function main() error('/etc/passwd:1: x', 0) end", dialect)
        .run()
        .failure
    )
    assert (failure.file, failure.line) == ("/srv/www/page.lua", 1)
