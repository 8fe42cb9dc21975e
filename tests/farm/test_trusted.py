"""A trusted pool on a live farm, and what strangers wrote into its root."""

import os
from functools import partial

import pytest

from tests.farm.client import ask
from tests.farm.farms import Farm, until, up

pytestmark = pytest.mark.process

READS = "function main(env, con) con:puts(type(io)) end"


def _said(farm: Farm, text: str) -> bool:
    return text in farm.log()


def test_a_script_that_a_stranger_could_have_written_runs_once_it_is_ours() -> None:
    files = {"ours.lua": READS, "open.lua": READS, "uses.lua": "require 'open'" + READS}
    with up(hosts=1, pool='trust = "trusted"', files=files) as farm:
        assert ask(farm.socket, farm.root / "ours.lua").body == b"table"
        script = farm.root / "open.lua"
        script.chmod(0o646)
        for name in ("open.lua", "uses.lua"):
            refused = ask(farm.socket, farm.root / name)
            assert refused.status == 500
            assert b"may be written by others (" in refused.body
        script.chmod(0o644)
        until(
            lambda: ask(farm.socket, script).body == b"table",
            "the change of its mode is seen",
        )
        if os.geteuid() == 0:
            strange = farm.write("strange.lua", READS)
            os.chown(strange, 4711, -1)
            refused = ask(farm.socket, strange)
            assert refused.status == 500
            assert b"belongs to uid 4711 (mode 0644)" in refused.body


def test_a_trusted_script_that_exits_ends_its_request_and_not_its_state() -> None:
    source = """
    function main(env, con)
      con:puts(require("luafarm").state.requests)
      os.exit(3)
    end
    """
    for dialect in ("luajit21", "lua51", "lua54"):
        pool = f'trust = "trusted"\ndialect = "{dialect}"'
        with up(hosts=1, pool=pool, files={"exit.lua": source}) as farm:
            replies = [ask(farm.socket, farm.root / "exit.lua") for _ in range(3)]
            assert [reply.body for reply in replies] == [b"1", b"2", b"3"]


def test_a_trusted_script_runs_where_it_lies_with_programs_and_files() -> None:
    source = """
    local loaded = io.open("beside.txt"):read("*a")
    function main(env, con)
      local program = io.popen("pwd; cat beside.txt")
      con:puts(loaded) con:puts(program:read("*a")) program:close()
      con:puts(dofile("../../outside.lua"))
    end
    """
    for dialect in ("luajit21", "lua51", "lua53"):
        pool = f'trust = "trusted"\ndialect = "{dialect}"'
        with up(hosts=1, pool=pool) as farm:
            farm.write("inner/beside.txt", "text\n")
            (farm.place / "outside.lua").write_text("return 'outside'")
            farm.write("inner/x.lua", source)
            reply = ask(farm.socket, farm.root / "inner" / "x.lua")
            assert reply.body.decode() == f"text\n{farm.root}/inner\ntext\noutside"


def test_what_a_trusted_script_writes_and_runs_is_told_as_by_stock_lua() -> None:
    source = """
    function main(env, con)
      io.write("written by ", "write\\n")
      io.stderr:write("written to stderr\\n")
      local name = os.tmpname()
      local _, _, code = os.execute("echo text >" .. name .. "; exit 2")
      con:puts(tostring(code))
      con:puts(io.open(name):read("*l"))
      os.remove(name)
    end
    """
    for dialect, ended in (("luajit21", "nil"), ("lua52", "2"), ("lua55", "2")):
        pool = f'trust = "trusted"\ndialect = "{dialect}"'
        with up(hosts=1, pool=pool, files={"x.lua": source}) as farm:
            reply = ask(farm.socket, farm.root / "x.lua")
            assert reply.body.decode() == f"{ended}text"
            until(partial(_said, farm, "written to stderr"), "it is logged")
            for text in ("written by write", "written to stderr"):
                lines = [line for line in farm.log().split("\n") if text in line]
                assert len(lines) == 1
                assert "x.lua" in lines[0]
