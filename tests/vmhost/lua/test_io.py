"""`io` of sandboxed scripts: as stock Lua's where nothing can be written."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Op,
    Script,
    attack_on_every_sandboxed_dialect,
    evaluate,
    every_sandboxed_dialect,
)
from vmhost.lua.limits import StateLimits

FILES = {
    "data.txt": "line one\nline two\n",
    "numbers": "1 0x10 -3.5e2 zz\nrest\n\nlast",
    "empty": "",
}

# code, and what it gives in every dialect as Debian's interpreters do
RIGHT = {
    # handles
    "type(io.stdout), io.type(io.stdout)": "userdata file",
    "tostring(io.open('data.txt')):gsub('0x%x+', 'X')": "file (X) 1",
    "io.type(5), io.type(nil), io.type({})": "nil nil nil",
    "tostring(io.stdin) == tostring(io.stdin), io.stdin == io.input()": "true true",
    "tostring(io.stdin) == tostring(io.stderr)": "false",
    # reading
    "#io.open('data.txt'):read('*a')": "18",
    "io.open('data.txt'):read()": "line one",
    "io.open('data.txt'):read('*l', '*l', '*l')": "line one line two nil",
    "io.open('data.txt'):read(4, 0, 100, 0)": "line   one\nline two\n nil",
    "io.open('empty'):read('*a')": "",
    "io.open('empty'):read('*l')": "nil",
    "io.open('empty'):read(0)": "nil",
    "io.open('numbers'):read('*n', '*n', '*n') == 1": "true",
    "select(3, io.open('numbers'):read('*n', '*n', '*n')) == -350": "true",
    "select('#', io.open('numbers'):read('*n', '*n', '*n', '*n', '*n'))": "4",
    "(function() local n = 0 for l in io.lines('data.txt') do n = n + #l end"
    " return n end)()": "16",
    "(function() local t = {} for a, b in io.open('data.txt'):lines(1, 3) do"
    " t[#t + 1] = a .. b end return #t, t[2] end)()": "5  one",
    "(function() io.input('data.txt') return io.read('*l', '*a') end)()": (
        "line one line two\n"
    ),
    "(function() io.input('data.txt') local n = 0 for _ in io.lines() do n = n + 1 end"
    " return n, io.type(io.input()) end)()": "2 file",
    "io.read(), io.stdin:read('*a'), io.stdin:lines()()": "nil  nil",
    # places
    "(function() local f = io.open('data.txt') f:read() return f:seek(),"
    " f:seek('set', 3), f:read(2), f:seek('cur', -1), f:seek('end'), f:seek('end', 7)"
    " end)()": "9 3 e  4 18 25",
    "io.open('data.txt'):seek('set', -5)": "nil Invalid argument 22",
    "io.stdout:seek()": "nil Illegal seek 29",
    # what fails
    "io.open('nix')": "nil nix: No such file or directory 2",
    "io.open('nix', 'w')": "nil nix: Read-only file system 30",
    "io.open('data.txt', 'a+b')": "nil data.txt: Read-only file system 30",
    "io.open('data.txt', 'r+')": "nil data.txt: Read-only file system 30",
    "io.open('data.txt', 'rb'):write('x')": "nil Bad file descriptor 9",
    "io.stdout:read()": "nil Bad file descriptor 9",
    "io.popen('ls')": "nil ls: Operation not permitted 1",
    "io.tmpfile()": "nil Read-only file system 30",
    "io.stdout:close()": "nil cannot close standard file",
    "io.close()": "nil cannot close standard file",
    # closing
    "(function() local f = io.open('data.txt') local ok = f:close()"
    " return ok, io.type(f), tostring(f) end)()": "true closed file file (closed)",
    "pcall(function() local f = io.open('data.txt') f:close() f:read() end)": (
        "false /srv/www/page.lua:2: attempt to use a closed file"
    ),
    "pcall(function() local f = io.open('data.txt') f:close() f:close() end)": (
        "false /srv/www/page.lua:2: attempt to use a closed file"
    ),
    # other calls
    "io.flush(), io.stdout:flush(), io.stderr:setvbuf('no')": "true true true",
    "io.output() == io.stdout, io.output(io.stderr) == io.stderr": "true true",
    "pcall(io.type)": "false bad argument #1 to 'type' (value expected)",
    "select(2, pcall(function() io.stdout.read(5) end))": (
        "/srv/www/page.lua:2: bad argument #1 to 'read' (FILE* expected, got number)"
    ),
    "select(2, pcall(function() io.open('data.txt'):read('*x') end))": (
        "/srv/www/page.lua:2: bad argument #1 to 'read' (invalid format)"
    ),
    "select(2, pcall(function() io.write({}) end))": (
        "/srv/www/page.lua:2: bad argument #1 to 'write' (string expected, got table)"
    ),
    "select(2, pcall(function() io.stdout:seek('x') end))": (
        "/srv/www/page.lua:2: bad argument #1 to 'seek' (invalid option 'x')"
    ),
    "select(2, pcall(function() io.open('data.txt'):seek('x') end))": (
        "/srv/www/page.lua:2: bad argument #1 to 'seek' (invalid option 'x')"
    ),
}


def values(code: str, dialect: Dialect, **options: object) -> str:
    """Return the values of an expression list, with blanks between."""
    source = f"""
      local function body() return {code} end
      local function told(...)
        local t = {{}}
        for i = 1, select("#", ...) do t[i] = tostring((select(i, ...))) end
        return table.concat(t, " ")
      end
      function main(env, con) con:puts(told(body())) end
    """
    options.setdefault("files", FILES)
    return Script(source, dialect, **options).run().text  # type: ignore[arg-type]


@every_sandboxed_dialect
@pytest.mark.parametrize("code", RIGHT)
def test_io_does_what_stock_lua_does_where_nothing_can_be_written(
    dialect: Dialect, code: str
) -> None:
    assert values(code, dialect) == RIGHT[code]


@every_sandboxed_dialect
def test_a_mode_that_is_none_is_told_as_the_dialect_tells_it(dialect: Dialect) -> None:
    said = values("pcall(io.open, 'data.txt', 'q')", dialect)
    if dialect is Dialect.LUAJIT21:
        assert said == "true nil data.txt: Invalid argument 22"
    else:
        assert said.startswith("false ")
        assert said.endswith("bad argument #2 to 'open' (invalid mode)")


@every_sandboxed_dialect
@pytest.mark.parametrize("name", ["lines", "input"])
def test_a_missing_file_is_an_error_where_lua_makes_it_one(
    dialect: Dialect, name: str
) -> None:
    said = values(f"select(2, pcall(function() io.{name}('nix') end))", dialect)
    if dialect is Dialect.LUAJIT21:
        why = f"bad argument #1 to '{name}' (nix: No such file or directory)"
    else:
        why = "cannot open file 'nix' (No such file or directory)"
    assert said == f"/srv/www/page.lua:2: {why}"


@every_sandboxed_dialect
def test_what_a_script_writes_to_its_streams_are_lines_of_its_log(
    dialect: Dialect,
) -> None:
    script = Script(
        """
        function main(env, con)
          io.write("one", 2, "\\nthree\\nfo")
          io.stderr:write("oops")
          io.write("ur")
          con:puts("reply")
        end
        """,
        dialect,
    )
    reply = script.run()
    assert reply.text == "reply"
    assert reply.log == [
        ("info", "one2"),
        ("info", "three"),
        ("info", "four"),
        ("warning", "oops"),
    ]


@every_sandboxed_dialect
def test_a_line_without_an_end_is_not_kept_for_the_next_request(
    dialect: Dialect,
) -> None:
    script = Script("function main(env, con) io.write('x') end", dialect)
    assert [script.run().log for _ in range(2)] == [[("info", "x")]] * 2
    failing = Script("function main() io.write('x') error('y') end", dialect)
    assert [failing.run().log for _ in range(2)] == [[("info", "x")]] * 2


@attack_on_every_sandboxed_dialect
def test_what_is_written_is_bounded_like_the_log(dialect: Dialect) -> None:
    limits = StateLimits(log_lines=5, log_bytes=1000, memory_bytes=4 << 20)
    script = Script(
        "function main() for i = 1, 1e5 do io.write('0123456789') end"
        " io.write(('\\n'):rep(1e5)) end",
        dialect,
        limits=limits,
    )
    reply = script.run()
    assert reply.error is None
    assert len(reply.log) <= 6
    assert sum(len(text) for _, text in reply.log) < 2000


@pytest.mark.dialects(Dialect.LUA54, Dialect.LUA55)
def test_a_file_is_closed_at_the_end_of_its_scope(dialect: Dialect) -> None:
    code = """
      local kept
      do
        local f <close> = io.open("data.txt")
        kept = f
      end
      return io.type(kept)
    """
    assert evaluate(code, dialect, files=FILES) == "closed file"


@every_sandboxed_dialect
def test_a_file_is_asked_for_once_and_read_from_memory(dialect: Dialect) -> None:
    script = Script(
        "function main(env, con) local f = io.open('data.txt')"
        " f:read(1) f:read('*a') f:seek('set') f:read() f:close() end",
        dialect,
        files=FILES,
    )
    assert script.run().operations == [Op.FILE, Op.DONE]


@every_sandboxed_dialect
@pytest.mark.parametrize(
    ("why", "told"),
    [
        (b"not a name inside the script roots", "Permission denied"),
        (
            b"no file '/srv/x': a link that leads outside of the pool's directories",
            "Permission denied",
        ),
        (b"cannot read '/srv/x': permission denied", "Permission denied"),
        (b"cannot read '/x': longer than 5 bytes (max_source)", "File too large"),
        (b"the broker cannot be reached", "Input/output error"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    dialect: Dialect, why: bytes, told: str
) -> None:
    script = Script(
        "function main(env, con) con:puts((select(2, io.open('x')))) end", dialect
    )
    step = script.state.run(b"", b"")
    assert step[0] == Op.FILE
    assert script.finish(script.state.resume(False, why), b"", b"").text == (
        f"x: {told} ({why.decode()})"
    )


@attack_on_every_sandboxed_dialect
def test_no_script_gets_at_the_methods_or_the_metatable_of_files(
    dialect: Dialect,
) -> None:
    code = """
      local f = io.open("data.txt")
      local told = { tostring(getmetatable(f)) }
      told[#told + 1] = tostring((pcall(setmetatable, f, {})))
      told[#told + 1] = tostring((pcall(function() f.read = print end)))
      told[#told + 1] = tostring((pcall(function() f.x = 1 end)))
      return table.concat(told, " ")
    """
    assert evaluate(code, dialect, files=FILES) == "false false false false"


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "code",
    [
        "io.open('x\\0y')",
        "io.open(('x'):rep(1e6))",
        "io.open('data.txt'):read(2^53)",
        "io.open('data.txt'):read(1/0)",
        "io.open('data.txt'):seek('set', 2^53)",
        "io.open('data.txt'):seek('set', 0/0)",
        "io.open('data.txt'):lines(table.unpack and table.unpack({}, 1, 300)"
        " or unpack({}, 1, 300))",
        "io.open('numbers'):read('n' .. ('*n'):rep(1e5))",
    ],
)
def test_odd_arguments_of_files_do_no_harm(dialect: Dialect, code: str) -> None:
    assert values(f"type(pcall(function() return {code} end))", dialect) == "boolean"
