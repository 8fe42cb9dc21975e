"""States of trusted pools: the whole of Lua, and operations that work all the same."""

import os
from pathlib import Path

import pytest

from luafarm.dialects import Dialect
from tests import interpreters
from tests.vmhost.states import Script, every_dialect, params
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.limits import StateLimits


def run(code: str, dialect: Dialect, **options: object) -> str:
    """Return what code puts."""
    source = f"function main(env, con)\n{code}\nend"
    script = Script(source, dialect, trusted=True, **options)  # type: ignore[arg-type]
    return script.run(params(A="1")).text


@every_dialect
def test_the_full_libraries_are_there(dialect: Dialect) -> None:
    code = """
      for _, name in ipairs{ "io", "os", "debug", "package", "string", "coroutine" } do
        con:puts(type(_G[name]) .. " ")
      end
      con:puts(type(io.open) .. type(os.getenv("PATH")) .. type(debug.traceback))
      con:puts(type(string.dump) .. type(package.searchers or package.loaders))
      con:puts(tostring(python))
    """
    assert run(code, dialect) == (
        "table " * 6 + "functionstringfunction" + "functiontable" + "nil"
    )


@every_dialect
def test_finalizers_and_the_collector_are_there(dialect: Dialect) -> None:
    code = "collectgarbage('stop') collectgarbage('restart') con:puts('ok')"
    assert run(code, dialect) == "ok"


@every_dialect
def test_files_can_be_read(dialect: Dialect, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("content")
    code = f"local f = io.open('{file}') con:puts(f:read('*a')) f:close()"
    assert run(code, dialect) == "content"


@every_dialect
def test_modules_come_from_the_host_then_from_the_path(
    dialect: Dialect, tmp_path: Path
) -> None:
    (tmp_path / "disk.lua").write_text(
        "local farm = require 'farm' local md5 = require 'md5'"
        " return { name = ..., farm = farm, sum = md5.digest('') }"
    )
    code = (
        f"package.path = '{tmp_path}/?.lua'"
        + """
      local disk = require "disk"
      con:puts(disk.name .. disk.farm .. disk.sum .. tostring(require "disk" == disk))
    """
    )
    result = run(
        code,
        dialect,
        modules={"farm": "return ' farm '"},
    )
    assert result == "disk farm d41d8cd98f00b204e9800998ecf8427etrue"


@every_dialect
def test_a_missing_module_tells_all_places(dialect: Dialect, tmp_path: Path) -> None:
    code = "con:puts(select(2, pcall(require, 'none')))"
    message = run(f"package.path = '{tmp_path}/?.lua' {code}", dialect)
    assert "no file for none" in message
    assert f"{tmp_path}/none.lua" in message


@every_dialect
def test_a_module_on_the_path_may_ask_the_host_while_it_loads(
    dialect: Dialect, tmp_path: Path
) -> None:
    (tmp_path / "disk.lua").write_text("return require('luafarm').read('f')")
    code = f"package.path = '{tmp_path}/?.lua' con:puts(require 'disk')"
    assert run(code, dialect, files={"f": "content"}) == "content"


@every_dialect
def test_globals_of_a_trusted_script_are_the_real_ones(dialect: Dialect) -> None:
    code = "x = 5 con:puts(_G.x) con:puts(tostring(package.loaded._G == _G))"
    assert run(code, dialect) == "5true"


@every_dialect
def test_what_a_trusted_script_breaks_in_the_libraries_breaks_no_request(
    dialect: Dialect,
) -> None:
    source = """
      function main(env, con)
        con:header("X-A", env.A)
        con:puts("ok")
        for _, name in ipairs{ "string", "table", "math", "coroutine" } do
          for key in pairs(_G[name]) do _G[name][key] = nil end
        end
        debug.traceback, debug.getinfo, pcall, error, type = nil, nil, nil, nil, nil
      end
    """
    script = Script(
        source.replace("ipairs{", "each{").replace(
            "function main", "local each = ipairs\nfunction main", 1
        ),
        dialect,
        trusted=True,
    )
    assert script.run(params(A="1")).text == "ok"
    assert "X-A: 1" in script.run(params(A="1")).headers


@every_dialect
def test_modules_of_5_1_style_work_in_trusted_pools(
    dialect: Dialect, tmp_path: Path
) -> None:
    if dialect not in (Dialect.LUA51, Dialect.LUAJIT21):
        pytest.skip("module() is of Lua 5.1")
    (tmp_path / "old.lua").write_text(
        "module('old', package.seeall) function f() return tostring(5) end"
    )
    code = f"package.path = '{tmp_path}/?.lua' require 'old' con:puts(old.f())"
    assert run(code, dialect) == "5"


def test_the_compiler_of_luajit_can_be_switched_on() -> None:
    code = "con:puts(tostring((jit.status())))"
    assert run(code, Dialect.LUAJIT21, jit=True) == "true"
    assert run(code, Dialect.LUAJIT21) == "false"


def test_compiled_loops_are_not_slowed_down_by_hooks() -> None:
    code = "con:puts(tostring(debug.gethook()))"
    assert run(code, Dialect.LUAJIT21, jit=True) == "nil"
    assert run(code, Dialect.LUAJIT21) != "nil"


@every_dialect
def test_memory_is_bounded_in_trusted_pools_too(dialect: Dialect) -> None:
    script = Script(
        "function main() local t = {}"
        " for i = 1, 1e9 do t[i] = ('x'):rep(99) .. i end end",
        dialect,
        trusted=True,
        limits=StateLimits(memory_bytes=2 << 20, cpu_s=60.0),
    )
    assert script.run().failure.kind == "Memory Error"


@every_dialect
def test_nothing_is_taken_from_where_the_farm_was_started(
    dialect: Dialect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.lua").write_text("return 1")
    monkeypatch.chdir(tmp_path)
    code = """
      con:puts(tostring(pcall(require, "stranger")))
      for template in (package.path .. ";" .. package.cpath):gmatch("[^;]+") do
        con:puts(" " .. template:sub(1, 1))
      end
    """
    assert set(run(code, dialect).split()) == {"false", "/"}


@every_dialect
def test_the_scripts_directory_stands_in_the_path(dialect: Dialect) -> None:
    assert run("con:puts(package.path)", dialect).startswith(
        "/srv/www/?.lua;/srv/www/?/init.lua;/"
    )


@every_dialect
def test_files_outside_the_roots_are_run_by_dofile_and_loadfile(
    dialect: Dialect, tmp_path: Path
) -> None:
    file = tmp_path / "outside.lua"
    file.write_text("return 5")
    code = f"con:puts(dofile('{file}') .. ' ' .. loadfile('{file}')())"
    assert run(code, dialect) == "5 5"


@every_dialect
def test_programs_are_read_from_and_written_to(
    dialect: Dialect, tmp_path: Path
) -> None:
    file = tmp_path / "written"
    code = f"""
      local f = io.popen("printf 'a\\nb\\n'; exit 3")
      for line in f:lines() do con:puts(line .. ",") end
      con:puts(tostring(f:close()))
      local to = io.popen("cat > {file}", "w")
      to:write("text")
      con:puts(tostring((io.close(to))))
      con:puts(io.open("{file}"):read("*a"))
      con:puts(tostring((pcall(f.read, f))))
    """
    closed = "true" if dialect in {Dialect.LUAJIT21, Dialect.LUA51} else "nil"
    assert run(code, dialect) == f"a,b,{closed}truetextfalse"


@pytest.mark.parametrize("dialect", [Dialect.LUA52, Dialect.LUA54, Dialect.LUA55])
def test_the_end_of_a_program_is_what_close_returns(dialect: Dialect) -> None:
    code = """
      local function ended(command)
        local ok, how, number = io.popen(command):close()
        con:puts(string.format("%s %s %d;", tostring(ok), how, number))
      end
      ended("exit 0")
      ended("exit 5")
      ended("kill -9 $$")
    """
    assert run(code, dialect) == "true exit 0;nil exit 5;nil signal 9;"


def test_a_sandboxed_state_that_asks_for_a_program_is_broken() -> None:
    numbers = {OPERATIONS.numbers[name] for name in ("START", "WAIT", "TMPNAME")}
    assert not numbers & OPERATIONS.computed(trusted=False).keys()
    assert numbers <= OPERATIONS.computed(trusted=True).keys()
    assert not numbers & OPERATIONS.steps.keys()


# ---- as stock Lua --------------------------------------------------------------------


def plain(code: str, dialect: Dialect) -> str:
    """Return what code puts, run by the interpreter of a dialect."""
    put = "local con = { puts = function(_, text) io.stderr:write(text) end }"
    text = interpreters.said(dialect, f"{put}\n{code}")
    return text.replace("stdin:", "/srv/www/page.lua:")


@every_dialect
def test_what_is_written_to_the_standard_streams_are_lines_of_the_log(
    dialect: Dialect,
) -> None:
    source = """
      io.write("load", "ed\\n")
      function main(env, con)
        io.write("a", 1, "\\nb")
        io.stdout:write("c\\n")
        io.stderr:write("bad\\n")
        io.output(io.stderr)
        io.write("worse\\n")
        io.output(io.stdout)
        io.write("end")
        io.flush()
        con:puts(tostring(io.write() == (setfenv and true or io.stdout)))
        con:puts(tostring(io.stdout:write() == (setfenv and true or io.stdout)))
      end
    """
    script = Script(source, dialect, trusted=True)
    assert script.loaded.log == [("info", "loaded")]
    reply = script.run()
    assert reply.text == "truetrue"
    assert reply.log == [
        ("info", "a1"),
        ("info", "bc"),
        ("warning", "bad"),
        ("warning", "worse"),
        ("info", "end"),
    ]


@every_dialect
def test_files_are_written_by_lua_itself(dialect: Dialect, tmp_path: Path) -> None:
    file = tmp_path / "written"
    code = f"""
      local f = io.open("{file}", "w")
      f:write("text", 1, "\\n")
      io.output(f)
      io.write("more")
      io.close()
      io.output(io.stdout)
      local full = io.open("/dev/full", "w")
      full:setvbuf("no")
      con:puts(tostring(full:write("x")) .. select(2, full:write("x")))
    """
    script = Script(f"function main(_, con) {code} end", dialect, trusted=True)
    reply = script.run()
    assert (reply.text, reply.log) == ("nilNo space left on device", [])
    assert file.read_text() == "text1\nmore"


@pytest.mark.parametrize("dialect", interpreters.INTERPRETERS)
def test_writing_fails_as_in_the_interpreter(dialect: Dialect) -> None:
    code = """
      local function try(...) con:puts(tostring(select(2, pcall(...))) .. "\\n") end
      try(io.write, {})
      try(io.write, "", nil)
      try(io.stdout.write, io.stdout, 1, true)
      try(io.stdout.write, {})
      try(io.stdout.write)
      try(function() io.write({}) end)
      try(function() io.stdout:write("", {}) end)
      try(function() io.stdout.write({}, 1) end)
      local f = io.tmpfile()
      try(f.write, f, {})
      try(function() f:write(1, {}) end)
      f:seek("set")
      con:puts(f:read("*a"))
      f:close()
      try(f.write, f)
      try(function() f:write("x") end)
    """
    assert run(code, dialect) == plain(code, dialect)


@every_dialect
def test_numbers_are_written_as_lua_writes_them(dialect: Dialect) -> None:
    source = """
      function main(_, con)
        for _, number in ipairs{ 1.0, 2^53, 3, 1/3, -0.0, 1/0, 1e100 } do
          local f = io.tmpfile()
          f:write(number)
          f:seek("set")
          con:puts(f:read("*a") .. "\\n")
          io.write(number, "\\n")
        end
      end
    """
    reply = Script(source, dialect, trusted=True).run()
    assert reply.log == [("info", line) for line in reply.text.splitlines()]


@every_dialect
def test_how_a_program_ended_is_said_as_by_stock_lua(dialect: Dialect) -> None:
    code = """
      for _, command in ipairs{ "true", "exit 2", "kill -9 $$", "kill -TERM $$" } do
        local a, b, c = os.execute(command)
        con:puts(tostring(a) .. " " .. tostring(b) .. " " .. tostring(c) .. "\\n")
      end
      con:puts(select("#", os.execute()) .. tostring(os.execute()) .. "\\n")
      con:puts(tostring(select(2, pcall(function() os.execute({}) end))))
    """
    like = Dialect.LUA54 if dialect is Dialect.LUA55 else dialect
    assert run(code, dialect) == plain(code, like)


@every_dialect
def test_tmpname_makes_a_file_of_its_own(dialect: Dialect) -> None:
    code = "con:puts(os.tmpname() .. ' ' .. os.tmpname())"
    first, second = map(Path, run(code, dialect).split())
    try:
        assert first != second
        for path in (first, second):
            assert path.name.startswith("lua_")
            assert path.read_bytes() == b""
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        first.unlink()
        second.unlink()


@pytest.mark.dialects(Dialect.LUA51, Dialect.LUA52, Dialect.LUA54, Dialect.LUA55)
def test_a_name_that_cannot_be_made_is_an_error(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    code = "con:puts(select(2, pcall(os.tmpname)))"
    script = Script(f"function main(_, con) {code} end", dialect, trusted=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        said = script.run().text
    assert said.endswith("unable to generate a unique filename")


@every_dialect
def test_lua_modules_are_looked_for_where_the_system_has_them(dialect: Dialect) -> None:
    version = {"luajit21": "5.1"}.get(dialect, f"5.{dialect[-1]}")
    path = run("con:puts(package.path)", dialect)
    own, system = path.split(";")[:2], path.split(";")[2:]
    assert own == ["/srv/www/?.lua", "/srv/www/?/init.lua"]
    assert system == [
        f"{place}/{version}/{end}"
        for place in ("/usr/local/share/lua", "/usr/local/lib/lua", "/usr/share/lua")
        for end in ("?.lua", "?/init.lua")
    ]


@pytest.mark.parametrize("dialect", [Dialect.LUA51, Dialect.LUA52, Dialect.LUA54])
def test_the_default_path_has_all_that_the_interpreter_has(dialect: Dialect) -> None:
    theirs = plain("con:puts(package.path)", dialect).split(";")
    ours = run("con:puts(package.path)", dialect).split(";")
    assert {place for place in theirs if place[0] == "/"} <= set(ours)
