"""C modules in states: Debian's in trusted pools, and in sandboxed ones by name.

Each case runs in a process of its own: Lua's symbols are visible for one dialect.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from luafarm.dialects import Dialect
from luafarm.process import cplaces

ROOT = Path(__file__).parents[3]
HAVE = (Dialect.LUAJIT21, Dialect.LUA51, Dialect.LUA52, Dialect.LUA53, Dialect.LUA54)
SANDBOXED = tuple(d for d in HAVE if d is not Dialect.LUA51)

CODE = """
from luafarm.dialects import Dialect
from tests.vmhost.states import Script, params
from vmhost.lua import cmodules
dialect = Dialect({dialect!r})
cmodules.show_symbols(dialect)
opened = cmodules.open_all({names!r}, dialect)
options = dict(trusted={trusted!r}, cpath="", c_modules=opened)
script = Script({source!r}, dialect, **options)
print(script.run(params(A="1")).text, end="")
"""


def run(
    code: str, dialect: Dialect, *names: str, trusted: bool = False, needs: str
) -> str:
    """Return what code puts in a pool that has the C modules of these names."""
    source = f"function main(env, con) {code} end"
    return run_script(source, dialect, *names, trusted=trusted, needs=needs)


def run_script(
    source: str, dialect: Dialect, *names: str, trusted: bool = False, needs: str
) -> str:
    """Return what a script puts in such a pool."""
    try:
        cplaces.find(needs, dialect)
    except cplaces.NoModuleError as missing:
        pytest.skip(str(missing))
    text = CODE.format(
        dialect=dialect.value, names=names, source=source, trusted=trusted
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


USES = {
    "cjson": ('con:puts(require("cjson").encode({1,2}))', "[1,2]"),
    "lpeg": ('local l = require("lpeg") con:puts(l.match(l.P"a"^1, "aab"))', "3"),
    "lfs": ('con:puts(require("lfs").attributes("/").mode)', "directory"),
    "luasql.sqlite3": (
        'local c = require("luasql.sqlite3").sqlite3():connect(":memory:")'
        ' con:puts(c:execute("select 6*7"):fetch())',
        "42",
    ),
}


@pytest.mark.process
@pytest.mark.parametrize("dialect", HAVE)
@pytest.mark.parametrize("name", USES)
def test_debians_modules_are_found_in_trusted_pools(
    name: str, dialect: Dialect
) -> None:
    code, answer = USES[name]
    assert run(code, dialect, trusted=True, needs=name).removesuffix(".0") == answer


@pytest.mark.process
@pytest.mark.parametrize("dialect", SANDBOXED)
@pytest.mark.parametrize("name", ["cjson", "lpeg"])
def test_modules_that_the_operator_names_are_in_sandboxed_pools(
    name: str, dialect: Dialect
) -> None:
    code, answer = USES[name]
    assert run(code, dialect, name, needs=name) == answer


@pytest.mark.process
@pytest.mark.parametrize("dialect", SANDBOXED)
def test_a_script_gets_neither_metatables_nor_globals_of_a_module(
    dialect: Dialect,
) -> None:
    code = """
      local l = require "lpeg"
      l.match = nil
      local meta = getmetatable(l.P "a")
      con:puts(type(meta.__add) .. tostring(meta.__gc) .. tostring(rawget(_G, "lpeg")))
      meta.__add, meta.__index.match, meta.__index = nil, nil, nil
      con:puts((l.P "a" + "b"):match("b"))
      con:puts(tostring(pcall(setmetatable, l.P "a", {})))
    """
    assert run(code, dialect, "lpeg", needs="lpeg") == "functionnilnil2false"


@pytest.mark.process
@pytest.mark.parametrize("dialect", SANDBOXED)
def test_a_library_gives_the_other_modules_that_it_holds(dialect: Dialect) -> None:
    code = """
      local safe = require "cjson.safe"
      con:puts(tostring(safe.decode "[") .. tostring(safe == require "cjson"))
      con:puts(select(2, pcall(require, "cjson.none")):match "no module .*in file")
    """
    right = "nilfalseno module 'cjson.none' in file"
    assert run(code, dialect, "cjson", needs="cjson") == right


@pytest.mark.process
@pytest.mark.parametrize("dialect", SANDBOXED)
def test_null_of_ngx_is_that_of_the_cjson_that_is_there(dialect: Dialect) -> None:
    source = 'ngx.print(require("cjson").encode({ ngx.null }))'
    assert run_script(source, dialect, "cjson", needs="cjson") == "[null]"


@pytest.mark.process
@pytest.mark.parametrize("dialect", SANDBOXED)
def test_callbacks_of_a_module_into_each_other_end_in_an_error(
    dialect: Dialect,
) -> None:
    code = """
      local l = require "lpeg"
      local p
      p = l.Cmt(l.P(true), function() return p:match "a" end)
      con:puts(tostring((pcall(p.match, p, "a"))))
    """
    assert run(code, dialect, "lpeg", needs="lpeg") == "false"


@pytest.mark.process
@pytest.mark.parametrize("dialect", SANDBOXED)
def test_modules_that_nobody_named_are_not_in_sandboxed_pools(dialect: Dialect) -> None:
    code = 'con:puts(tostring((pcall(require, "lfs"))))'
    assert run(code, dialect, "lpeg", needs="lpeg") == "false"
