"""Code loading: require, dofile, loadfile, load, and Lua 5.1's environments."""

import re

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

COUNTED = "count = (count or 0) + 1\nreturn { name = ..., value = 5 }"


@every_dialect
def test_a_module_is_loaded_once_and_kept(dialect: Dialect) -> None:
    script = Script(
        """
        function main(env, con)
          local a, b = require "a.b", require("a.b")
          con:puts(a.name .. a.value .. tostring(a == b) .. count)
          con:puts(tostring(package.loaded["a.b"] == a))
        end
        """,
        dialect,
        modules={"a.b": COUNTED},
    )
    assert script.run().text == "a.b5true1true"
    reply = script.run()
    assert reply.text == "a.b5true1true"
    assert reply.operations == [Op.DONE]


@every_dialect
def test_modules_share_the_globals_of_the_script(dialect: Dialect) -> None:
    script = Script(
        "shared = 1 require 'm' function main(env, con) con:puts(shared .. own) end",
        dialect,
        modules={"m": "shared = shared + 1 own = 'x'"},
    )
    assert script.run().text == "2x"


@every_dialect
def test_a_module_without_result_is_true(dialect: Dialect) -> None:
    assert evaluate("return require 'm'", dialect, modules={"m": ""}) == "true"


@every_dialect
def test_a_module_may_set_itself_in_package_loaded(dialect: Dialect) -> None:
    modules = {"m": "package.loaded[...] = 'own'"}
    assert evaluate("return require 'm'", dialect, modules=modules) == "own"


@every_dialect
def test_a_false_result_is_loaded_again_as_in_lua(dialect: Dialect) -> None:
    code = "return tostring(require 'm') .. tostring(require 'm') .. count"
    modules = {"m": "count = (count or 0) + 1 return false"}
    assert evaluate(code, dialect, modules=modules) == "falsefalse2"


@every_dialect
def test_clearing_package_loaded_loads_again(dialect: Dialect) -> None:
    code = "require 'm' package.loaded.m = nil require 'm' return count"
    assert evaluate(code, dialect, modules={"m": COUNTED}) == "2"


@every_dialect
def test_package_preload_comes_before_the_host(dialect: Dialect) -> None:
    code = """
      package.preload.m = function(name) return "preloaded " .. name end
      return require 'm'
    """
    assert evaluate(code, dialect, modules={"m": COUNTED}) == "preloaded m"


@every_dialect
def test_a_cycle_is_a_clear_error(dialect: Dialect) -> None:
    code = "local ok, message = pcall(require, 'a') return message"
    modules = {"a": "return require 'b'", "b": "return require 'a'"}
    message = evaluate(code, dialect, modules=modules)
    assert "loop or previous error loading module 'a'" in message


@every_dialect
def test_a_module_that_failed_is_tried_again_by_the_next_request(
    dialect: Dialect,
) -> None:
    script = Script(
        "function main(env, con) con:puts(require 'm') end",
        dialect,
        modules={
            "m": "count = (count or 0) + 1\nif count == 1 then error('x') end\n"
            "return 'ok'"
        },
    )
    assert "/srv/lib/m:2: x" in script.run().failure.message
    assert script.run().text == "ok"


@every_dialect
def test_a_missing_module_tells_where_was_looked(dialect: Dialect) -> None:
    failure = Script("local m = require 'no.such'", dialect).loaded.failure
    assert failure.message.startswith(
        "/srv/www/page.lua:1: module 'no.such' not found:\n"
        "\tno field package.preload['no.such']\n\tno file for no.such"
    )
    assert failure.message.count("not found") == 1
    assert failure.line == 1


@every_dialect
def test_a_missing_file_is_told_in_one_way(dialect: Dialect) -> None:
    code = """
      local luafarm, NUL = require "luafarm", "\\0"
      local told = {}
      local function tell(_, why) told[#told + 1] = why end
      tell(luafarm.read("none.txt"))
      tell(luafarm.read("no" .. NUL .. "ne"))
      return table.concat(told, "|")
    """
    for why in evaluate(code, dialect).split("|"):
        assert re.fullmatch(
            r"file 'no\0?ne(\.txt)?' not found:\n\t(no (such )?file.*|not a path)", why
        )


@every_dialect
def test_a_missing_chunk_is_told_as_lua_tells_it(dialect: Dialect) -> None:
    code = """
      local _, why = loadfile("none.txt")
      local ok, thrown = pcall(dofile, "none.txt")
      return tostring(ok) .. "|" .. why .. "|" .. thrown
    """
    told = "cannot open none.txt: No such file or directory"
    assert evaluate(code, dialect) == f"false|{told}|{told}"


@every_dialect
def test_a_module_that_does_not_compile_names_its_file(dialect: Dialect) -> None:
    failure = Script("require 'm'", dialect, modules={"m": "x = ="}).loaded.failure
    assert "error loading module 'm' from file '/srv/lib/m':" in failure.message
    assert "/srv/lib/m:1: unexpected symbol" in failure.message


@pytest.mark.dialects(Dialect.LUA54, Dialect.LUA55)
def test_require_returns_the_file_as_well(dialect: Dialect) -> None:
    code = "local _, file = require 'm' return file"
    assert evaluate(code, dialect, modules={"m": "return 1"}) == "/srv/lib/m"


@every_dialect
@pytest.mark.parametrize("name", ["nil", "{}", "true", "('x'):rep(2000)", "'a\\0b'"])
def test_odd_module_names_are_refused(dialect: Dialect, name: str) -> None:
    failure = Script(f"require({name})", dialect).loaded.failure
    assert "bad argument #1 to 'require'" in failure.message


@every_dialect
def test_modules_may_ask_the_host_while_they_load(dialect: Dialect) -> None:
    modules = {
        "outer": "return require('luafarm').read('f') .. require 'inner'",
        "inner": "return 'inner'",
    }
    result = evaluate(
        "return require 'outer'", dialect, modules=modules, files={"f": "F"}
    )
    assert result == "Finner"


@every_dialect
def test_dofile_runs_a_file_each_time(dialect: Dialect) -> None:
    code = "return dofile('f.lua') + dofile('f.lua')"
    assert evaluate(code, dialect, files={"f.lua": "n = (n or 0) + 1 return n"}) == "3"


@every_dialect
def test_dofile_of_a_missing_file_is_an_error(dialect: Dialect) -> None:
    message = Script("dofile('none')", dialect).loaded.failure.message
    assert "no file for none" in message or "none" in message


@every_dialect
def test_loadfile_returns_a_function_or_nil_and_why(dialect: Dialect) -> None:
    code = """
      local f = loadfile("ok")
      local g, message = loadfile("bad")
      return f("arg") .. tostring(g) .. message
    """
    result = evaluate(code, dialect, files={"ok": "return ...", "bad": "x ="})
    assert result.startswith("argnil/srv/lib/bad:1: ")


# ---- load ----------------------------------------------------------------------------


@every_sandboxed_dialect
def test_load_compiles_text_in_the_script_s_environment(dialect: Dialect) -> None:
    code = """
      x = 5
      local pieces = { "return ", "x", " + 1" }
      local n = 0
      local f = load(function() n = n + 1 return pieces[n] end)
      local own = load("return x", "own", "t", { x = "own" })
      local bad, message = load("x =", "=name")
      return load("return x")() .. f() .. own() .. tostring(bad) .. message
    """
    result = evaluate(code, dialect)
    assert result.startswith("56ownnilname:1: ")


@every_sandboxed_dialect
@pytest.mark.parametrize(
    "source",
    [
        "'\\27Lua'",
        "'\\27LJ\\2'",
        "'\\27'",
        "(function() local n = 0 return function() n = n + 1"
        " return ({ '\\27', 'Lua' })[n] end end)()",
    ],
)
def test_load_refuses_bytecode(dialect: Dialect, source: str) -> None:
    for mode in ("", ", 'n', 'b'", ", 'n', 'bt'", ", 'n', 't'"):
        code = f"local f, message = load({source}{mode}) return tostring(f) .. message"
        result = evaluate(code, dialect)
        assert result.startswith("nilattempt to load "), result


@attack_on_every_sandboxed_dialect
def test_load_refuses_too_much_text(dialect: Dialect) -> None:
    code = """
      local f, message = load(function() return ("-"):rep(1e6) .. "\\n" end)
      return tostring(f) .. message
    """
    assert evaluate(code, dialect) == "nilchunk too large"


@every_sandboxed_dialect
@pytest.mark.parametrize("value", ["nil", "{}", "true"])
def test_load_of_other_values_is_an_error(dialect: Dialect, value: str) -> None:
    failure = Script(f"load({value})", dialect).loaded.failure
    assert "bad argument #1 to 'load'" in failure.message


# ---- Lua 5.1 on LuaJIT ---------------------------------------------------------------


def test_loadstring_is_there_in_the_5_1_language_only() -> None:
    assert evaluate("return loadstring('return 5')()", Dialect.LUAJIT21) == "5"
    assert evaluate("return loadstring", Dialect.LUA53) == "nil"


def test_modules_of_5_1_style_work() -> None:
    script = Script(
        "local a = require 'a.b' function main(env, con)"
        " con:puts(a.f() .. a._NAME .. a._PACKAGE .. tostring(_G.a.b == a)) end",
        modules={
            "a.b": "module(..., package.seeall)\nlocal t = tostring\n"
            "function f() return t(print ~= nil) end"
        },
    )
    assert script.run().text == "truea.ba.true"


def test_module_without_seeall_hides_the_globals() -> None:
    script = Script(
        "require 'm'\n"
        "function main(env, con) con:puts(tostring(m.f()) .. tostring(g)) end",
        modules={"m": "module('m')\nfunction f() return print end\ng = 5"},
    )
    assert script.run().text == "nilnil"


def test_setfenv_and_getfenv_work_on_functions_of_the_script() -> None:
    code = """
      local function f() return x end
      local own = { x = "own" }
      local same = setfenv(f, own) == f
      local function level() setfenv(1, { y = "level" }) return y end
      local function caller()
        local function g() setfenv(2, { z = "caller" }) end
        g()
        return z
      end
      return f() .. tostring(same) .. tostring(getfenv(f) == own) .. level() .. caller()
        .. tostring(getfenv() == _G) .. tostring(getfenv(0) == _G)
    """
    assert evaluate(code, Dialect.LUAJIT21) == "owntruetruelevelcallertruetrue"


@pytest.mark.parametrize(
    "target",
    [
        "print",
        "pcall",
        "string.format",
        "con.puts",
        "require",
        "0",
        "require('md5').sum",
    ],
)
def test_setfenv_refuses_functions_that_are_not_the_script_s(target: str) -> None:
    script = Script(f"function main(env, con) setfenv({target}, {{}}) end")
    message = script.run().failure.message
    assert "'setfenv' cannot change environment of given object" in message


@pytest.mark.parametrize("level", range(1, 12))
def test_no_level_reaches_an_environment_that_is_not_the_script_s(level: int) -> None:
    for call in (
        f"return getfenv({level})",
        f"local e; ('x'):gsub('x', function() e = getfenv({level}) end) return e",
        f"local e; pcall(function() e = getfenv({level}) end) return e",
        f"return select(2, pcall(getfenv, {level}))",
        f"return select(2, coroutine.resume(coroutine.create(getfenv), {level}))",
        f"local e; table.sort({{2, 1}}, function() e = getfenv({level}) end) return e",
    ):
        result = evaluate(
            f"local function f() {call} end local ok, e = pcall(f)"
            " return not ok or e == nil or e == _G or type(e) == 'string'",
            Dialect.LUAJIT21,
        )
        assert result == "true", call


@pytest.mark.parametrize(
    "odd", ["-1", "1e9", "0/0", "{}", "'x'", "coroutine.create(print)"]
)
def test_odd_levels_are_refused(odd: str) -> None:
    for name in ("getfenv({})", "setfenv({}, {{}})"):
        failure = Script(name.format(odd)).loaded.failure
        assert "bad argument #1" in failure.message
