"""The request object: output, headers, body, log."""

import pytest

from luafarm.config.settings import Compat
from luafarm.dialects import Dialect
from tests.vmhost.states import Op, Script, every_dialect, params
from vmhost.lua.limits import StateLimits

DEFAULT = ["Status: 200 OK", "Content-Type: text/html", "X-Powered-By: Lua"]


def serve(code: str, dialect: Dialect = Dialect.LUAJIT21, **options: object) -> Script:
    """Return a script whose main runs code."""
    source = f"function main(env, con)\n{code}\nend"
    return Script(source, dialect, **options)  # type: ignore[arg-type]


# ---- puts, flush, reset --------------------------------------------------------------


@every_dialect
def test_puts_appends_strings_and_numbers(dialect: Dialect) -> None:
    script = serve(
        "con:puts('a') con:puts(1) con:puts(1.5) con:puts('\\0\\255')", dialect
    )
    assert script.run().body == b"a11.5\0\xff"


@every_dialect
def test_puts_takes_its_first_argument_only(dialect: Dialect) -> None:
    assert serve("con:puts('a', 'b')", dialect).run().text == "a"


@every_dialect
@pytest.mark.parametrize(
    ("argument", "got"),
    [("nil", "no value"), ("{}", "table"), ("true", "boolean"), ("print", "function")],
)
def test_puts_refuses_other_types(dialect: Dialect, argument: str, got: str) -> None:
    failure = serve(f"con:puts({argument})", dialect).run().failure
    assert failure.message == (
        f"/srv/www/page.lua:2: bad argument #1 to 'puts' (string expected, got {got})"
    )


@every_dialect
def test_a_method_called_with_a_dot_says_so(dialect: Dialect) -> None:
    failure = serve("con.puts('a')", dialect).run().failure
    assert "calling 'puts' on bad self" in failure.message
    assert failure.line == 2


@every_dialect
def test_an_empty_reply_has_the_default_headers(dialect: Dialect) -> None:
    reply = serve("", dialect).run()
    assert (reply.headers, reply.body) == (DEFAULT, b"")


@every_dialect
def test_reset_drops_the_body_but_not_the_headers(dialect: Dialect) -> None:
    reply = serve(
        "con:puts('a') con:header('X-A', 'b') con:reset() con:puts('c')", dialect
    ).run()
    assert reply.text == "c"
    assert reply.headers == [*DEFAULT, "X-A: b"]


@every_dialect
def test_flush_sends_headers_once_and_the_body_in_pieces(dialect: Dialect) -> None:
    reply = serve(
        "con:puts('a') con:flush() con:puts('b') con:flush() con:flush() con:puts('c')",
        dialect,
    ).run()
    assert reply.operations == [Op.FLUSH, Op.FLUSH, Op.DONE]
    assert [step[1] != b"" for step in reply.steps] == [True, False, False]
    assert reply.text == "abc"


def test_flush_of_an_empty_body_sends_the_headers() -> None:
    reply = serve("con:flush()").run()
    assert reply.operations == [Op.FLUSH, Op.DONE]
    assert reply.headers == DEFAULT


def test_reset_after_flush_drops_only_what_was_not_sent() -> None:
    assert (
        serve("con:puts('a') con:flush() con:puts('b') con:reset()").run().text == "a"
    )


@every_dialect
def test_flush_where_lua_cannot_yield_buffers(dialect: Dialect) -> None:
    reply = serve(
        """
        (("ab"):gsub(".", function(c) con:puts(c) print(c) con:flush() end))
        """.replace("((", "local _ = ((", 1),
        dialect,
    ).run()
    assert reply.operations == [Op.DONE]
    assert reply.text == "ab"
    assert reply.log == [("info", "a"), ("info", "b")]


def test_a_body_beyond_the_part_size_is_flushed_by_itself() -> None:
    reply = serve(
        "for i = 1, 10 do con:puts(('x'):rep(40)) end",
        limits=StateLimits(part_bytes=100),
    ).run()
    assert reply.operations == [Op.FLUSH] * 3 + [Op.DONE]
    assert len(reply.body) == 400


def test_without_buffering_each_puts_is_sent_at_once() -> None:
    compat = Compat(buffering=False)
    reply = serve("con:puts('a') con:puts('b')", compat=compat).run()
    assert [step[1:3] for step in reply.steps] == [
        ("\r\n".join(DEFAULT).encode(), b"a"),
        (b"", b"b"),
        (b"", b""),
    ]


# ---- headers -------------------------------------------------------------------------


@every_dialect
def test_headers_follow_status_type_and_configured_ones_in_order(
    dialect: Dialect,
) -> None:
    reply = serve(
        "con:header('X-B', 2) con:header('X-A: 1') con:header('X-B', '3')", dialect
    ).run()
    assert reply.headers == [*DEFAULT, "X-B: 2", "X-A: 1", "X-B: 3"]


@every_dialect
def test_status_and_content_type_are_replaced(dialect: Dialect) -> None:
    reply = serve(
        """
        con:header("Status", "404 Not Found") con:header("content-type", "text/plain")
        con:header("Content-Type: application/json") con:header("Status: 201 Made")
        """,
        dialect,
    ).run()
    assert reply.headers == [
        "Status: 201 Made",
        "Content-Type: application/json",
        "X-Powered-By: Lua",
    ]


@every_dialect
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("con:header('Location', '/x')", "302 Found"),
        (
            "con:header('Location', '/x') con:header('Status', '301')",
            "301 Moved Permanently",
        ),
        ("con:status(303) con:header{Location = '/x'}", "303 See Other"),
    ],
)
def test_location_implies_302_unless_a_status_is_set(
    dialect: Dialect, code: str, status: str
) -> None:
    reply = serve(code, dialect).run()
    assert reply.headers == [f"Status: {status}", *DEFAULT[1:], "Location: /x"]


def test_the_last_location_counts() -> None:
    reply = serve("con:header('Location', '/a') con:header('Location', '/b')").run()
    assert reply.headers[3:] == ["Location: /b"]


@pytest.mark.parametrize(
    ("argument", "status"),
    [
        ("404", "404 Not Found"),
        ("'404'", "404 Not Found"),
        ("'404 Gone fishing'", "404 Gone fishing"),
        ("429", "429 Too Many Requests"),
        ("599", "599 Status"),
    ],
)
def test_status_takes_codes_with_or_without_reason(argument: str, status: str) -> None:
    assert serve(f"con:status({argument})").run().headers[0] == f"Status: {status}"


@every_dialect
@pytest.mark.parametrize("status", ["'x'", "99", "600", "100", "'2000'", "''", "1e300"])
def test_what_is_no_status_is_refused(dialect: Dialect, status: str) -> None:
    failure = serve(f"con:status({status})", dialect).run().failure
    assert "is no status of a reply" in failure.message
    assert failure.line == 2


@every_dialect
@pytest.mark.parametrize("value", ["a\\r\\nX-Evil: 1", "a\\nb", "a\\rb", "a\\0b"])
@pytest.mark.parametrize("name", ["X-A", "Status", "Content-Type", "Location"])
def test_line_breaks_in_a_value_are_refused(
    dialect: Dialect, value: str, name: str
) -> None:
    failure = serve(f'con:header("{name}", "{value}")', dialect).run().failure
    assert f"the value of header '{name}' contains a line break" in failure.message


@every_dialect
def test_control_characters_in_a_value_are_refused_but_the_tab(
    dialect: Dialect,
) -> None:
    source = """
    for code = 0, 255 do
      if not pcall(con.header, con, "X-A", "a" .. string.char(code) .. "b") then
        con:puts(code .. " ")
      end
    end
    """
    refused = [*range(9), *range(10, 32), 127]
    limits = StateLimits(head_bytes=8192)
    reply = serve(source, dialect, limits=limits).run()
    assert [int(code) for code in reply.text.split()] == refused


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\\r\\nA", "X\\0", "\\195\\164"])
def test_what_is_no_header_name_is_refused(name: str) -> None:
    assert (
        "is no header name" in serve(f'con:header("{name}", "v")').run().failure.message
    )


@every_dialect
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("con:header()", "bad argument #1 to 'header'"),
        ("con:header(nil)", "a header must be a string, not a nil value"),
        ("con:header(true)", "a header must be a string, not a boolean value"),
        ("con:header('A', nil)", "must be a string, not a nil value"),
        ("con:header('A', {})", "must be a string, not a table value"),
        (
            "con:header(setmetatable({}, {__tostring = print}), 'x')",
            "not a table value",
        ),
        ("con:header({A = print})", "must be a string, not a function value"),
        ("con:header({'A'})", "a header's name must be a string, not a number value"),
        ("con:header('no colon')", "'no colon' is no header line"),
        ("con:status()", "must be a string, not a nil value"),
        ("con:cookie()", "a cookie's name must be a string"),
        ("con:cookie('a', {})", "a cookie's value must be a string"),
        ("con:cookie('a', 'x;y')", "must not contain ';'"),
        ("con:cookie('a b', 'x')", "is no cookie name"),
        ("con:cookie('a', 'x', 'soon')", "a cookie's expiry must be a number"),
        ("con:cookie('a', 'x', nil, '/\\r\\n')", "must not contain ';'"),
    ],
)
def test_wrong_header_arguments_are_clear_errors(
    dialect: Dialect, call: str, message: str
) -> None:
    failure = serve(call, dialect).run().failure
    assert message in failure.message
    assert (failure.kind, failure.line) == ("Runtime Error", 2)


@every_dialect
def test_the_raw_form_takes_several_lines(dialect: Dialect) -> None:
    reply = serve(
        'con:header("Status: 404 Not Found\\r\\nContent-Type: text/plain\\r\\n"'
        ' .. "X-A: b\\r\\n")',
        dialect,
    ).run()
    assert reply.headers == [
        "Status: 404 Not Found",
        "Content-Type: text/plain",
        "X-Powered-By: Lua",
        "X-A: b",
    ]


@every_dialect
def test_the_table_form_is_ordered_by_name_and_repeats_lists(dialect: Dialect) -> None:
    reply = serve(
        "con:header{ ['X-B'] = 1, ['Set-Cookie'] = { 'a=1', 'b=2' } }", dialect
    ).run()
    assert reply.headers[3:] == ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-B: 1"]


def test_headers_larger_than_the_limit_are_refused() -> None:
    script = serve(
        "for i = 1, 100 do con:header('X-A', ('x'):rep(100)) end",
        limits=StateLimits(head_bytes=5000),
    )
    assert "headers of more than 5000 bytes" in script.run().failure.message


def test_headers_after_flush_are_ignored_with_a_warning() -> None:
    reply = serve("con:flush() con:header('X-A', 'b')").run()
    assert reply.headers == DEFAULT
    assert reply.log == [
        ("warning", "header 'X-A' ignored: the headers were sent before")
    ]


def test_defaults_are_settings() -> None:
    compat = Compat(httpstatus="202 Fine", contenttype="text/x", headers="A: 1\nB: 2\n")
    assert serve("", compat=compat).run().headers == [
        "Status: 202 Fine",
        "Content-Type: text/x",
        "A: 1",
        "B: 2",
    ]


def test_there_may_be_no_configured_headers() -> None:
    assert serve("", compat=Compat(headers="")).run().headers == DEFAULT[:2]


def test_headers_of_one_request_are_not_seen_by_the_next() -> None:
    script = serve(
        "if env.A then con:status(404) con:header('X', 'y') con:puts('z') end"
    )
    assert script.run(params(A="1")).headers[0] == "Status: 404 Not Found"
    reply = script.run()
    assert (reply.headers, reply.body) == (DEFAULT, b"")


def test_headers_of_a_failed_request_are_not_seen_by_the_next() -> None:
    script = serve("if env.A then con:status(404) con:puts('z') error('x') end")
    assert script.run(params(A="1")).error
    reply = script.run()
    assert (reply.headers, reply.body) == (DEFAULT, b"")


@every_dialect
def test_cookies(dialect: Dialect) -> None:
    reply = serve(
        """
        con:cookie("a", "1")
        con:cookie("b", "2", 0)
        con:cookie("c", "3", 1e9, "/", "example.org")
        con:cookie("d", "4", nil, "/d")
        con:cookie("e")
        """,
        dialect,
    ).run()
    assert reply.headers[3:] == [
        "Set-Cookie: a=1",
        "Set-Cookie: b=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "Set-Cookie: c=3; Expires=Sun, 09 Sep 2001 01:46:40 GMT; Path=/;"
        " Domain=example.org",
        "Set-Cookie: d=4; Path=/d",
        "Set-Cookie: e=",
    ]


# ---- body ----------------------------------------------------------------------------


@every_dialect
@pytest.mark.parametrize("pulled", [False, True])
def test_gets_returns_the_body_once(dialect: Dialect, pulled: bool) -> None:
    script = serve("con:puts(con:gets()) con:puts(tostring(con:gets()))", dialect)
    body = bytes(range(256)) * 3000
    assert script.run(body=body, pulled=pulled).body == body + b"nil"


@every_dialect
def test_gets_of_an_empty_body_is_nil(dialect: Dialect) -> None:
    assert serve("con:puts(tostring(con:gets()))", dialect).run().text == "nil"


@every_dialect
@pytest.mark.parametrize("pulled", [False, True])
def test_read_takes_the_body_in_pieces(dialect: Dialect, pulled: bool) -> None:
    script = serve(
        "repeat local s = con:read(4) con:puts('<' .. tostring(s) .. '>') until not s",
        dialect,
    )
    assert script.run(body=b"abcdefghij", pulled=pulled).text == "<abcd><efgh><ij><nil>"


def test_gets_after_read_returns_the_rest() -> None:
    script = serve("con:read(3) con:puts(con:gets())")
    assert script.run(body=b"abcdef").text == "def"
    assert script.run(body=b"abcdef", pulled=True).text == "def"


@pytest.mark.parametrize("size", ["0", "-1", "'x'", "{}", "0/0"])
def test_read_refuses_odd_sizes(size: str) -> None:
    failure = serve(f"con:read({size})").run(body=b"x").failure
    assert "bad argument #1 to 'read' (positive number expected)" in failure.message


def test_read_asks_for_no_more_than_the_limit() -> None:
    script = serve("con:puts(con:read(1e9))", limits=StateLimits(read_bytes=10))
    reply = script.run(body=b"x" * 100, pulled=True)
    assert reply.steps[0] == (Op.READ, 0, 10)


def test_the_body_of_one_request_is_not_seen_by_the_next() -> None:
    script = serve("if env.A then return end con:puts(tostring(con:gets()))")
    script.run(params(A="1"), body=b"secret")
    assert script.run().text == "nil"


@every_dialect
def test_a_filter_reads_its_data_stream(dialect: Dialect) -> None:
    script = serve(
        """
        local luafarm = require "luafarm"
        con:puts(luafarm.data(3)) con:puts(luafarm.data())
        con:puts(tostring(luafarm.data()) .. con:gets())
        """,
        dialect,
    )
    assert script.run(body=b"in", data=b"abcdef").text == "abcdefnilin"


def test_data_outside_a_filter_is_nil() -> None:
    assert serve("con:puts(tostring(require'luafarm'.data()))").run().text == "nil"


# ---- parse, config, log --------------------------------------------------------------


@every_dialect
def test_parse_of_2011_drops_empty_values_and_keeps_the_last(dialect: Dialect) -> None:
    script = serve(
        """
        local t = con:parse("a=1&a=2&empty=&b=x%20y+z&c&%41=%zz&a=")
        con:puts(t.a .. "|" .. tostring(t.empty) .. "|" .. t.b .. "|" .. t.A)
        con:puts(tostring(t.c) .. tostring(con:parse()))
        """,
        dialect,
    )
    assert script.run().text == "2|nil|x y z|%zznilnil"


def test_config_is_the_stub_that_it_was() -> None:
    assert (
        serve("con:puts(tostring(con:config('a')) .. tostring(con:config('a', 'b')))")
        .run()
        .text
        == "nilnil"
    )


@every_dialect
def test_log_takes_text_not_formats(dialect: Dialect) -> None:
    reply = serve("con:log('100%s%s%n') con:log(5)", dialect).run()
    assert reply.log == [("info", "100%s%s%n"), ("info", "5")]


@every_dialect
def test_print_goes_to_the_log_tab_separated(dialect: Dialect) -> None:
    reply = serve("print('a', 1, nil, true) print()", dialect).run()
    assert reply.log == [("info", "a\t1\tnil\ttrue"), ("info", "")]


@every_dialect
def test_nul_in_a_log_line_is_replaced(dialect: Dialect) -> None:
    assert serve("con:log('a\\0b')", dialect).run().log == [("info", "a?b")]


def test_log_lines_are_bounded_by_number_and_told_so() -> None:
    script = serve("for i = 1, 10 do print(i) end", limits=StateLimits(log_lines=3))
    for _ in range(2):
        assert script.run().log == [
            ("info", "1"),
            ("info", "2"),
            ("info", "3"),
            ("warning", "7 more log lines (limits: 3 lines, 32768 bytes)"),
        ]


def test_log_lines_are_bounded_by_size() -> None:
    script = serve(
        "for i = 1, 10 do print(('x'):rep(60)) end", limits=StateLimits(log_bytes=100)
    )
    assert [text for _, text in script.run().log] == [
        "x" * 60,
        "x" * 40 + "...",
        "8 more log lines (limits: 200 lines, 100 bytes)",
    ]


def test_the_bound_holds_over_flushes() -> None:
    script = serve(
        "for i = 1, 9 do print(i) con:puts('x') con:flush() end",
        limits=StateLimits(log_lines=3),
    )
    assert [text for level, text in script.run().log if level == "info"] == [
        "1",
        "2",
        "3",
    ]


def test_the_log_of_a_failed_request_comes_with_the_error() -> None:
    reply = serve("print('a') error('x')").run()
    assert (reply.log, reply.error is not None) == ([("info", "a")], True)


# ---- life of the object --------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "puts('x')",
        "gets()",
        "read()",
        "header('a', 'b')",
        "status(200)",
        "cookie('a', 'b')",
        "flush()",
        "reset()",
        "log('x')",
        "config('x')",
        "parse('x')",
    ],
)
def test_a_request_object_is_of_no_use_outside_of_a_request(call: str) -> None:
    script = Script(
        f"""
        function main(env, con) kept = con end
        function shutdown() kept:{call} end
        """
    )
    script.run()
    failure = script.finish(script.state.shutdown(), b"", b"").failure
    assert "called while no request is running" in failure.message


@every_dialect
@pytest.mark.parametrize(
    "code",
    [
        "con.puts = print",
        "con.extra = 1",
        "con.puts = nil",
        "require('luafarm').log = print",
        "require('luafarm').state.id = 5",
        "require('json').null.x = 5",
    ],
)
def test_api_tables_cannot_be_written(dialect: Dialect, code: str) -> None:
    assert "is read-only" in serve(code, dialect).run().failure.message


@pytest.mark.parametrize(
    "code",
    [
        "rawset(con, 'puts', print)",
        "setmetatable(con, {})",
        "getmetatable(con).__index = {}",
        "table.insert(con, 1) con[1]()",
    ],
)
def test_api_tables_cannot_be_changed_behind_their_back(code: str) -> None:
    script = serve(f"if env.A then {code} end con:puts('ok')")
    assert script.run(params(A="1")).error
    assert script.run().text == "ok"
