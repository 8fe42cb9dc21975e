"""Names of the standard libraries that programs look at, and that few of them use."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Script,
    attack_on_every_sandboxed_dialect,
    evaluate,
    every_sandboxed_dialect,
)

JIT = Dialect.LUAJIT21


# ---- string.dump --------------------------------------------------------------------


@every_sandboxed_dialect
def test_a_dump_tells_the_version_as_lua_s_own_does(dialect: Dialect) -> None:
    code = r"""
      local dump = string.dump(function() end)
      return dump:sub(1, 3) == "\27LJ" and "jit"
        or dump:sub(1, 4) == "\27Lua" and ("%02x"):format(dump:byte(5))
    """
    version = {
        Dialect.LUAJIT21: "jit",
        Dialect.LUA52: "52",
        Dialect.LUA53: "53",
        Dialect.LUA54: "54",
        Dialect.LUA55: "55",
    }
    assert evaluate(code, dialect) == version[dialect]


@attack_on_every_sandboxed_dialect
def test_a_dump_has_nothing_of_its_function_and_is_never_loaded(
    dialect: Dialect,
) -> None:
    code = """
      local secret = 42
      local one = string.dump(function() return "a secret text", secret end)
      local other = string.dump(function(a, b) end, true)
      local f, why = (loadstring or load)(one)
      assert(one == other and not one:find("secret") and #one < 40)
      return tostring(f) .. " " .. why:match("binary")
    """
    assert evaluate(code, dialect) == "nil binary"


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "f", ["print", "string.format", "pcall", "require", "string.byte"]
)
def test_functions_that_are_not_the_script_s_cannot_be_dumped(
    dialect: Dialect, f: str
) -> None:
    code = f"return (select(2, pcall(string.dump, {f})))"
    assert evaluate(code, dialect) == "unable to dump given function"


# ---- newproxy -----------------------------------------------------------------------


def test_a_proxy_does_what_its_metatable_says() -> None:
    code = """
      local p, told = newproxy(true), {}
      local meta = getmetatable(p)
      function meta.__index(_, key) return key .. "!" end
      function meta.__newindex(_, key, value) told[key] = value end
      function meta.__call(_, a, b) return a + b end
      function meta.__len() return 3 end
      function meta.__tostring() return "proxy" end
      function meta.__add() return "sum" end
      function meta.__concat() return "joined" end
      function meta.__lt() return true end
      function meta.__eq() return true end
      p.x = 1
      local q = newproxy(p)
      return table.concat({ p.a, told.x, p(1, 2), #p, tostring(p), p + 1, 1 + p,
        p .. "", tostring(p < q), tostring(p == q), tostring(q), type(p) }, " ")
    """
    expected = "a! 1 3 3 proxy sum sum joined true true proxy userdata"
    assert evaluate(code, JIT) == expected


def test_a_proxy_without_a_metatable_is_only_itself() -> None:
    code = """
      local p = newproxy()
      return tostring(getmetatable(p)) .. tostring(p == newproxy())
        .. tostring(({ [p] = 1 })[p]) .. tostring(pcall(function() return p.x end))
    """
    assert evaluate(code, JIT) == "nilfalse1false"


def test_what_a_proxy_s_metatable_does_not_have_is_an_error() -> None:
    code = """
      local p, told = newproxy(true), {}
      for _, f in ipairs {
        function() return p.x end, function() p.x = 1 end, function() p() end,
        function() return #p end, function() return p + 1 end,
        function() return p .. "" end, function() return p < newproxy(p) end
      } do
        told[#told + 1] = tostring(pcall(f))
      end
      return table.concat(told) .. tostring(p):match("^userdata: 0x")
    """
    assert evaluate(code, JIT) == "false" * 7 + "userdata: 0x"


def test_the_finalizer_of_a_proxy_never_runs() -> None:
    source = """
      ran = 0
      for i = 1, 100 do
        getmetatable(newproxy(true)).__gc = function() ran = ran + 1 end
      end
      collectgarbage() collectgarbage()
      kept = newproxy(true)
      getmetatable(kept).__gc = function() while true do end end
      function main(_, con) con:puts(tostring(ran)) end
    """
    script = Script(source, JIT)
    assert script.run().text == "0"
    script.state.close()


@pytest.mark.parametrize("get", ["getmetatable", "debug.getmetatable"])
def test_the_real_metatable_of_a_proxy_is_never_shown(get: str) -> None:
    code = f"""
      local p = newproxy(true)
      local meta = {get}(p)
      meta.__metatable = nil
      assert({get}(p) == meta and next(meta) == nil)
      return tostring(pcall(debug.setmetatable, p, {{}}))
        .. tostring(pcall(newproxy, io.stdout))
    """
    assert evaluate(code, JIT) == "falsefalse"


# ---- jit, gcinfo, warn, module of 5.2 -----------------------------------------------


def test_jit_tells_what_there_is_and_changes_nothing() -> None:
    code = """
      jit.off() jit.on() jit.flush() jit.opt.start("hotloop=1")
      jit.off(function() end, true)
      return table.concat({ type(jit.version), jit.version_num, jit.os,
        tostring(jit.status()), tostring(require("jit") == jit),
        tostring(assert):match("builtin") }, " ")
    """
    assert evaluate(code, JIT) == "string 20199 Linux false true builtin"


def test_gcinfo_tells_the_memory_in_use() -> None:
    assert evaluate("return gcinfo() > 10 and gcinfo() % 1 == 0", JIT) == "true"


@pytest.mark.parametrize("dialect", [Dialect.LUA54, Dialect.LUA55])
def test_warnings_go_to_the_log_once_they_are_turned_on(dialect: Dialect) -> None:
    source = """
      function main()
        warn("unseen") warn("@on") warn("one ", 2) warn("@unknown") warn("@off")
        warn("unseen")
        for _, argument in ipairs { {}, true } do assert(not pcall(warn, argument)) end
        assert(not pcall(warn))
      end
    """
    assert Script(source, dialect).run().log == [("warning", "Lua warning: one 2")]


@pytest.mark.parametrize("dialect", [JIT, Dialect.LUA52])
def test_module_makes_a_table_the_globals_of_its_file(dialect: Dialect) -> None:
    modules = {
        "a.b": "module('a.b', package.seeall) x = 5\n"
        "function f() return x, type(print) end",
        "bare": "local t = _G module(...) y = t.type(t)",
    }
    source = """
      local m, bare = require("a.b"), require("bare")
      function main(_, con)
        local x, kind = a.b.f()
        con:puts(table.concat({ tostring(m == a.b), x, kind, a.b._NAME, a.b._PACKAGE,
          bare.y, tostring(rawget(_G, "x")), tostring(rawget(bare, "print")),
          tostring(package.loaders == (package.searchers or package.loaders)) }, " "))
      end
    """
    script = Script(source, dialect, modules=modules)
    assert script.run().text == "true 5 function a.b a. table nil nil true"


@every_sandboxed_dialect
def test_a_file_is_told_its_name_and_from_lua_5_2_on_its_place(
    dialect: Dialect,
) -> None:
    count = 1 if dialect is JIT else 2
    modules = {"told": 'return select("#", ...) .. (...)'}
    assert (
        evaluate("return require('told')", dialect, modules=modules) == f"{count}told"
    )


@pytest.mark.parametrize("dialect", [JIT, Dialect.LUA52])
def test_module_changes_nobody_s_globals_but_its_caller_s(dialect: Dialect) -> None:
    code = """
      local ok = pcall(module, "stolen")
      return tostring(ok) .. type(print) .. tostring(rawget(_G, "print") == print)
    """
    assert evaluate(code, dialect) == "falsefunctiontrue"


# ---- waiting in metamethods ---------------------------------------------------------


@every_sandboxed_dialect
@pytest.mark.parametrize(
    "expression",
    ["tostring(o)", '("%s"):format(o)', "o.x", "o + 1", "#o", "o .. ''", "o()"],
)
def test_a_metamethod_may_require_a_module(dialect: Dialect, expression: str) -> None:
    if expression == "#o" and dialect is JIT:
        pytest.skip("Lua 5.1 takes no length of tables from metamethods")
    code = f"""
      local function late() return require("late").word end
      local o = setmetatable({{}}, {{ __tostring = late, __index = late, __add = late,
        __len = late, __concat = late, __call = late }})
      return {expression}
    """
    modules = {"late": "return { word = 'found' }"}
    assert evaluate(code, dialect, modules=modules) == "found"
