"""How a script's errors come out: class, message, place, traceback."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Script,
    attack_on_every_dialect,
    every_dialect,
    params,
)
from vmhost.lua.limits import StateLimits

NAME = b"/srv/www/a/rather/long/directory/name/so/that/lua/cuts/it/off/page.lua"


@every_dialect
def test_a_runtime_error_tells_chunk_and_line(dialect: Dialect) -> None:
    failure = Script("function main()\n\n error('oops')\nend", dialect).run().failure
    assert failure.kind == "Runtime Error"
    assert failure.message == "/srv/www/page.lua:3: oops"
    assert (failure.file, failure.line, failure.budget) == ("/srv/www/page.lua", 3, "")
    assert failure.traceback.startswith("stack traceback:\n")
    assert "/srv/www/page.lua:3: in " in failure.traceback
    assert "luafarm" not in failure.traceback


FRAME = "\t/srv/www/page.lua:"
TRACES = {
    "error('x')": "\t[C]: in function 'error'",
    "local x = nil; x()": None,
    "local x = nil; x.y = 1": None,
    "local x = {} .. 'a'": None,
    "('x'):rep({})": "\t[C]: in function 'rep'",
    "con:puts({})": "\t[C]: in function 'puts'",
    "con.x = 1": ...,
    "require('nix')": "\t[C]: in function 'require'",
    "math.floor('x')": "\t[C]: in function 'floor'",
    "table.concat({ {} })": "\t[C]: in function 'concat'",
}


@every_dialect
@pytest.mark.parametrize("code", TRACES)
def test_a_traceback_is_the_same_in_every_dialect(dialect: Dialect, code: str) -> None:
    source = f"local con\nlocal function f()\n {code}\n return 1\nend\n"
    source += "function main(env, request) con = request\n f()\n return 1\nend"
    lines = Script(source, dialect).run().failure.traceback.split("\n")
    called = [FRAME + "3: in function 'f'", FRAME + "7: in function 'main'"]
    assert lines[0] == "stack traceback:"
    assert lines[-2:] == called
    own = lines[1:-2]
    if TRACES[code] is ...:  # a metamethod, which dialects name as they like
        assert len(own) <= 1
    elif dialect is Dialect.LUA51 and code.startswith("('x'):rep"):
        assert own == ["\t[C]: in function 'rep'"]  # a trusted pool has the native one
    else:
        assert own == ([] if TRACES[code] is None else [TRACES[code]])


@every_dialect
@pytest.mark.parametrize(
    "code",
    [
        "('xx'):gsub('x', function() error('in') end)",
        "table.sort({ 3, 2, 1 }, function(a, b) return a.x < b end)",
        "table.sort({ 3, 2, 1 }, error)",
        "pcall(error) xpcall(error, print) string.rep()",
        "tostring(setmetatable({}, { __tostring = function() error('in') end }))",
        "coroutine.wrap(function() error('in') end)()",
        "return setmetatable({}, { __index = function() error('in') end }).x .. 'x'",
        "for _ in pairs() do end",
        "assert(load(function() error('in') end))",
    ],
)
def test_no_traceback_tells_an_address_or_a_function_of_ours(
    dialect: Dialect, code: str
) -> None:
    failure = Script(f"function main() {code} end", dialect).run().failure
    for told in ("0x", "builtin", "function ''", "luafarm", "?"):
        assert told not in failure.traceback.replace("<?", ""), failure.traceback


@every_dialect
def test_a_deep_traceback_tells_both_ends(dialect: Dialect) -> None:
    source = """
      local function dive(n)
        if n == 0 then error("bottom") end
        return 1 + dive(n - 1)
      end
      function main() dive(100) return 1 end
    """
    lines = Script(source, dialect).run().failure.traceback.split("\n")
    assert lines[1:3] == ["\t[C]: in function 'error'", lines[2]]
    assert "\t..." in lines
    assert lines[-1].endswith("in function 'main'")
    assert len(lines) < 50


@every_dialect
def test_names_in_a_traceback_are_names(dialect: Dialect) -> None:
    source = """
      local t = { ["a'\\nforged: in function 'x"] = function() error("x") end }
      function main() t["a'\\nforged: in function 'x"]() return 1 end
    """
    assert "forged" not in Script(source, dialect).run().failure.traceback


@every_dialect
def test_a_syntax_error_tells_chunk_and_line(dialect: Dialect) -> None:
    failure = Script("\nx = = 1\n", dialect).loaded.failure
    assert failure.kind == "Syntax Error"
    assert failure.message.startswith("/srv/www/page.lua:2: unexpected symbol")
    assert (failure.file, failure.line) == ("/srv/www/page.lua", 2)


@every_dialect
def test_long_chunk_names_are_told_whole(dialect: Dialect) -> None:
    script = Script("function main()\n error('oops') end", dialect, name=NAME)
    failure = script.run().failure
    assert failure.message == f"{NAME.decode()}:2: oops"
    assert failure.file == NAME.decode()
    assert f"{NAME.decode()}:2: in " in failure.traceback
    failure = Script("x = ", dialect, name=NAME).loaded.failure
    assert failure.message.startswith(f"{NAME.decode()}:1: ")


@every_dialect
def test_an_error_in_a_module_names_the_module(dialect: Dialect) -> None:
    script = Script(
        "local m = require 'm'\nfunction main()\n m.f() end",
        dialect,
        modules={"m": "local m = {}\nfunction m.f() error('inner') end\nreturn m"},
    )
    failure = script.run().failure
    assert failure.message == "/srv/lib/m:2: inner"
    assert (failure.file, failure.line) == ("/srv/lib/m", 2)
    assert "/srv/www/page.lua:3: in " in failure.traceback


@every_dialect
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("nil", "(error object is a nil value)"),
        ("{ code = 1 }", "(error object is a table value)"),
        ("true", "(error object is a boolean value)"),
        ("print", "(error object is a function value)"),
        ("coroutine.create(print)", "(error object is a thread value)"),
        ("12", "12"),
        ("setmetatable({}, { __tostring = function() return 'mine' end })", "mine"),
        (
            "setmetatable({}, { __tostring = function() error('no') end })",
            "(error object is a table value)",
        ),
        (
            "setmetatable({}, { __tostring = function() return {} end })",
            "(error object is a table value)",
        ),
        ("setmetatable({}, { __metatable = 5 })", "(error object is a table value)"),
    ],
)
def test_errors_that_are_no_strings_are_described(
    dialect: Dialect, value: str, text: str
) -> None:
    failure = Script(f"function main()\n error({value}) end", dialect).run().failure
    if dialect is Dialect.LUA55 and value == "nil":
        text = "<no error object>"  # Lua 5.5 says so itself
    assert failure.message.removeprefix("/srv/www/page.lua:2: ") == text
    assert (failure.kind, failure.line) == ("Runtime Error", 2)


@every_dialect
def test_an_error_without_position_keeps_its_text(dialect: Dialect) -> None:
    failure = Script("function main()\n error('plain', 0) end", dialect).run().failure
    assert (failure.message, failure.line) == ("plain", 2)


@every_dialect
@pytest.mark.parametrize(
    "call",
    [
        "('x'):rep({})",
        "string.find()",
        "('x'):format({}, nil .. 'x')",
        "string.format('%d', 'x')",
        "setmetatable(1, {})",
        "table.concat({ {} })",
        "local x = nil; x()",
        "local x = nil; x.y = 1",
    ],
)
def test_errors_of_library_functions_tell_the_script_s_line(
    dialect: Dialect, call: str
) -> None:
    failure = Script(f"function main()\n {call}\nend", dialect).run().failure
    assert failure.message.startswith("/srv/www/page.lua:2: "), failure.message
    assert failure.line == 2


@every_dialect
def test_an_error_in_a_coroutine_that_nobody_catches(dialect: Dialect) -> None:
    source = "function main()\n coroutine.wrap(function()\n error('deep') end)() end"
    failure = Script(source, dialect).run().failure
    # wrap says its caller, as in Lua; 5.2 and 5.3 take for its line where it begins
    line = 2 if dialect in {Dialect.LUA52, Dialect.LUA53} else 3
    assert failure.message == (f"/srv/www/page.lua:{line}: /srv/www/page.lua:3: deep")
    assert failure.line == line


@attack_on_every_dialect
def test_messages_and_tracebacks_are_bounded(dialect: Dialect) -> None:
    failure = Script("function main() error(('x'):rep(1e6)) end", dialect).run().failure
    assert len(failure.message) <= 4096 + 100
    deep = """
      local function dive(n)
        if n == 0 then error("bottom") end
        return 1 + dive(n - 1)
      end
      function main() dive(500) end
    """
    assert len(Script(deep, dialect).run().failure.traceback) <= 8192


@attack_on_every_dialect
def test_a_stack_overflow_is_an_error_like_others(dialect: Dialect) -> None:
    script = Script(
        """
        local function dive() return 1 + dive() end
        function main(env, con)
          if env.DIVE then dive() end
          con:puts(tostring((pcall(dive))))
        end
        """.replace("local function dive", "local dive\n function dive"),
        dialect,
    )
    message = script.run(params(DIVE="1")).failure.message
    assert "stack overflow" in message or message == "not enough memory"
    assert script.run().text == "false"


@every_dialect
def test_odd_bytes_in_messages_are_kept(dialect: Dialect) -> None:
    script = Script(b"function main() error('a\\0b\xff\\n<i>', 0) end", dialect)
    step = script.run().steps[0]
    assert step[2] == b"a\0b\xff\n<i>"


@every_dialect
@pytest.mark.parametrize(
    "source", [b"\x1bLua", b"\x1bLJ\x02", b"\xff\xfe", b"\0", b"\0\0"]
)
def test_what_is_no_lua_text_does_not_load(dialect: Dialect, source: bytes) -> None:
    assert Script(source, dialect).loaded.failure.kind == "Syntax Error"


def test_bytecode_is_refused_by_name() -> None:
    message = Script(b"\x1bLJ\x02").loaded.failure.message
    assert message.endswith("attempt to load a binary chunk")


@attack_on_every_dialect
def test_nested_too_deep_for_the_compiler_is_a_syntax_error(dialect: Dialect) -> None:
    source = "x = " + "(" * 10000 + "1" + ")" * 10000
    assert Script(source, dialect).loaded.failure.kind == "Syntax Error"


@every_dialect
def test_the_buffered_body_of_a_failed_request_is_dropped(dialect: Dialect) -> None:
    reply = Script(
        "function main(env, con) con:puts('x') error('y') end", dialect
    ).run()
    assert (reply.head, reply.body) == (b"", b"")


@attack_on_every_dialect
def test_running_out_of_memory_is_a_memory_error(dialect: Dialect) -> None:
    script = Script(
        """
        function main(env, con)
          if env.FILL then
            local t = {}
            for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end
          end
          con:puts("fine")
        end
        """,
        dialect,
        limits=StateLimits(memory_bytes=4 << 20, cpu_s=60.0),
    )
    failure = script.run(params(FILL="1")).failure
    assert failure.kind == "Memory Error"
    assert "not enough memory" in failure.message
    assert failure.budget == "memory"
    assert script.state.must_close == ""  # it was garbage
    assert script.run().text == "fine"
