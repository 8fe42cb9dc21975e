"""OpenResty's `ngx`: the main chunk is the handler."""

import base64
import hashlib
import hmac

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import Op, Reply, Script, every_dialect, params
from vmhost.lua.limits import StateLimits

FORM = "application/x-www-form-urlencoded"


def serve(
    code: str,
    dialect: Dialect = Dialect.LUAJIT21,
    body: bytes = b"",
    env: dict[str, str] | None = None,
    **options: object,
) -> Reply:
    """Return the reply of a script of ngx."""
    script = Script(f"local ngx = ngx.x or ngx\n{code}", dialect, **options)  # type: ignore[arg-type]
    return script.run(params(**{"REQUEST_METHOD": "GET", **(env or {})}), body)


# ---- the chunk and its end -----------------------------------------------------------


@every_dialect
def test_the_chunk_runs_anew_for_each_request_and_not_before(dialect: Dialect) -> None:
    script = Script("n = (n or 0) + 1 ngx.say(n) print('ran')", dialect)
    assert script.loaded.log == []
    assert [script.run().text, script.run().text] == ["1\n", "2\n"]


@every_dialect
def test_print_and_say_join_values_and_arrays(dialect: Dialect) -> None:
    reply = serve("ngx.print('a', 1, nil, true, {'b', {2}}) ngx.say(ngx.null)", dialect)
    assert reply.text == "a1niltrueb2null\n"


@every_dialect
@pytest.mark.parametrize(
    "call",
    [
        "ngx.exit(404)",
        "pcall(ngx.exit, 404)",
        "xpcall(function() ngx.exit(404) end, print)",
        "coroutine.wrap(function() pcall(function() ngx.exit(404) end) end)()",
        "require('deep')",
    ],
)
def test_exit_ends_the_request_through_everything(dialect: Dialect, call: str) -> None:
    modules = {"deep": "pcall(function() ngx.exit(404) end) return true"}
    reply = serve(f"{call} ngx.say('never')", dialect, modules=modules)
    assert reply.headers[0] == "Status: 404 Not Found"
    assert "never" not in reply.text
    assert reply.log == []


@every_dialect
def test_after_an_exit_inside_coroutines_main_code_is_main_code(
    dialect: Dialect,
) -> None:
    script = Script(
        """
        if ngx.var.arg_exit then
          coroutine.wrap(function() coroutine.wrap(ngx.exit)(404) end)()
        end
        local thread, is_main = coroutine.running()
        ngx.print(thread == nil or is_main)
        ngx.print((pcall(coroutine.yield, 1)))
        """,
        dialect,
    )
    for _ in range(200):
        script.run(params(QUERY_STRING="exit=1"))
    assert script.run().text == "truefalse"


@every_dialect
def test_exit_after_text_was_put_keeps_text_and_status(dialect: Dialect) -> None:
    reply = serve("ngx.status = 403 ngx.say('no') ngx.exit(ngx.HTTP_OK)", dialect)
    assert (reply.headers[0], reply.text) == ("Status: 403 Forbidden", "no\n")


@every_dialect
def test_exit_where_lua_cannot_yield_says_so(dialect: Dialect) -> None:
    code = "table.sort({ 1, 2, 3 }, function() ngx.exit(404) end)"
    assert "not possible" in serve(code, dialect).failure.message


@every_dialect
def test_redirect_drops_what_was_put(dialect: Dialect) -> None:
    reply = serve("ngx.say('text') ngx.redirect('/x?y', 307) ngx.say('never')", dialect)
    assert reply.headers[0] == "Status: 307 Temporary Redirect"
    assert "Location: /x?y" in reply.headers
    assert reply.text == ""


@every_dialect
def test_an_error_is_a_page_with_its_line_and_its_traceback_is_logged(
    dialect: Dialect,
) -> None:
    reply = serve("local function f() error('oh') end\nf()", dialect)
    assert reply.failure.message == "/srv/www/page.lua:2: oh"
    assert reply.failure.line == 2
    assert "stack traceback:" in reply.log[0][1]


@every_dialect
def test_budgets_hold_in_the_chunk(dialect: Dialect) -> None:
    failure = serve(
        "while true do pcall(function() while true do end end) end",
        dialect,
        limits=StateLimits(cpu_s=0.05),
    ).failure
    assert failure.budget == "cpu"


@every_dialect
def test_values_of_one_request_are_not_seen_by_the_next(dialect: Dialect) -> None:
    script = Script(
        """
        ngx.say(ngx.ctx.n, ngx.status, ngx.header.x_n, ngx.var.own)
        ngx.ctx.n, ngx.status, ngx.header.x_n, ngx.var.own = 1, 201, "1", "1"
        if ngx.var.arg_fail then error("x") end
        """,
        dialect,
    )
    clean = "nil200nilnil\n"
    assert script.run().text == clean
    assert script.run(params(QUERY_STRING="fail=1")).error
    assert script.run().text == clean


# ---- the reply -----------------------------------------------------------------------


@every_dialect
def test_headers_know_underscores_lists_and_nil(dialect: Dialect) -> None:
    reply = serve(
        """
        ngx.header.content_type = "text/plain"
        ngx.header["Set-Cookie"] = { "a=1", "b=2" }
        ngx.header.X_One, ngx.header.X_Two = 1, 2
        ngx.header["x-two"] = nil
        ngx.print(ngx.header["CONTENT-TYPE"])
        """,
        dialect,
    )
    assert reply.text == "text/plain"
    assert reply.headers == [
        "Status: 200 OK",
        "Content-Type: text/plain",
        "X-Powered-By: Lua",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "X-One: 1",
    ]


@every_dialect
def test_a_header_that_is_unset_and_set_again_comes_once(dialect: Dialect) -> None:
    code = "ngx.header.x = 1 ngx.header.x = nil ngx.header.X = 2 ngx.exit(404)"
    headers = serve(code, dialect).headers
    assert [line for line in headers if line.lower().startswith("x:")] == ["X: 2"]


@every_dialect
def test_flush_sends_the_head_and_later_headers_are_logged(dialect: Dialect) -> None:
    reply = serve("ngx.print('a') ngx.flush() ngx.header.x = 1 ngx.print('b')", dialect)
    assert reply.operations == [Op.FLUSH, Op.DONE]
    assert reply.text == "ab"
    assert "after sending out response headers" in reply.log[0][1]


@every_dialect
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ngx.status = 1", "'1' is no status of a reply"),
        ("ngx.header.x = print", "must be a string, not a function value"),
        ("ngx.redirect('/x', 404)", "only 301, 302, 303, 307 and 308"),
        ("ngx.location.capture('/x')", "'ngx.location.capture' needs nginx itself"),
        ("ngx.socket.tcp()", "'ngx.socket.tcp' needs nginx itself"),
        ("ngx.re.match('a', 'b')", "'ngx.re.match' needs nginx itself"),
        ("ngx.req.get_post_args()", "no request body found"),
        ("ngx.timer.every(1, print)", "nothing runs without a request"),
        ("ngx.timer.at(-1, print)", "0 to 3600 seconds expected"),
        ("ngx.sleep('x')", "0 to 3600 seconds expected"),
        ("ngx.log('x', 'y')", "log level expected"),
        ("ngx.md5({})", "bad argument #1 to 'md5' (string expected, got table)"),
    ],
)
def test_misuse_is_named_at_the_scripts_line(
    dialect: Dialect, code: str, message: str
) -> None:
    failure = serve(code, dialect).failure
    assert message in failure.message
    assert failure.line == 2


# ---- the request ---------------------------------------------------------------------


@every_dialect
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_method", "GET"),
        ("request_uri", "/a%20b?x=1&y=2"),
        ("uri", "/a b"),
        ("args", "x=1&y=2"),
        ("query_string", "x=1&y=2"),
        ("is_args", "?"),
        ("arg_x", "1"),
        ("arg_z", "nil"),
        ("host", "example.org"),
        ("http_host", "example.org:8080"),
        ("http_user_agent", "UA"),
        ("cookie_s", "t"),
        ("scheme", "https"),
        ("remote_addr", "192.0.2.1"),
        ("server_port", "8080"),
        ("MY_PARAM", "mine"),
        ("nothing", "nil"),
    ],
)
def test_variables_come_from_the_request(
    dialect: Dialect, name: str, value: str
) -> None:
    env = {
        "REQUEST_URI": "/a%20b?x=1&y=2",
        "SCRIPT_NAME": "/a b",
        "QUERY_STRING": "x=1&y=2",
        "HTTP_HOST": "example.org:8080",
        "HTTP_USER_AGENT": "UA",
        "HTTP_COOKIE": "r=1; s=t",
        "HTTPS": "on",
        "REMOTE_ADDR": "192.0.2.1",
        "SERVER_PORT": "8080",
        "MY_PARAM": "mine",
    }
    assert serve(f"ngx.print(tostring(ngx.var.{name}))", dialect, env=env).text == value


@every_dialect
def test_arguments_of_url_and_body(dialect: Dialect) -> None:
    reply = serve(
        """
        local args = ngx.req.get_uri_args()
        ngx.print(args.a[1], args.a[2], args.flag, args.empty == "", args["c d"])
        ngx.req.read_body()
        local post = ngx.req.get_post_args()
        ngx.print(post.p, ngx.req.get_body_data())
        local some, cut = ngx.req.get_uri_args(1)
        ngx.print(some.a, cut)
        """,
        dialect,
        b"p=1%262",
        {"QUERY_STRING": "a=1&a=2&flag&empty=&c+d=%C3%BC", "CONTENT_TYPE": FORM},
    )
    assert reply.body.decode() == "12truetrueü1&2p=1%2621truncated"


@every_dialect
def test_headers_are_found_in_any_spelling(dialect: Dialect) -> None:
    reply = serve(
        """
        local headers = ngx.req.get_headers()
        ngx.print(headers["user-agent"], headers.User_Agent, headers["Content-Type"])
        ngx.req.set_header("X-New", "new")
        ngx.print(ngx.req.get_headers()["x-new"], ngx.var.http_x_new)
        """,
        dialect,
        env={"HTTP_USER_AGENT": "UA", "CONTENT_TYPE": "x/y"},
    )
    assert reply.text == "UAUAx/ynewnew"


@every_dialect
def test_a_multipart_form_is_read_as_resty_upload_gives_it(dialect: Dialect) -> None:
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n'
        b"Content-Type: a/b\r\n\r\nbytes\r\n--XX--\r\n"
    )
    reply = serve(
        """
        local input = require("resty.upload"):new(4096)
        while true do
          local what, value = input:read()
          if type(value) == "table" then value = { value[1], "=", value[2] } end
          ngx.say(what, ":", value)
          if what == "eof" then break end
        end
        """,
        dialect,
        body,
        {"CONTENT_TYPE": "multipart/form-data; boundary=XX"},
    )
    assert reply.text.splitlines() == [
        'header:Content-Disposition=form-data; name="f"; filename="x"',
        "header:Content-Type=a/b",
        "body:bytes",
        "part_end:nil",
        "eof:nil",
    ]


# ---- functions -----------------------------------------------------------------------


@every_dialect
@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("escape_uri('a b/ü+')", "a%20b%2F%C3%BC%2B"),
        ("unescape_uri('a+b%20c')", "a b c"),
        (
            "encode_args{ a = 1, b = { 'x', 'y' }, c = true, d = false }",
            "a=1&b=x&b=y&c",
        ),
        ("decode_args('a=1&b').a", "1"),
        ("md5('x')", hashlib.md5(b"x").hexdigest()),
        ("encode_base64('ab')", "YWI="),
        ("encode_base64('ab', true)", "YWI"),
        ("decode_base64('YWI=')", "ab"),
        ("decode_base64('!')", "nil"),
        (
            "encode_base64(ngx.sha1_bin('x'))",
            base64.b64encode(hashlib.sha1(b"x").digest()).decode(),
        ),
        (
            "encode_base64(ngx.hmac_sha1('k', 'x'))",
            base64.b64encode(hmac.digest(b"k", b"x", "sha1")).decode(),
        ),
        (
            "encode_base64(ngx.hmac_sha1(('k'):rep(100), 'x'))",
            base64.b64encode(hmac.digest(b"k" * 100, b"x", "sha1")).decode(),
        ),
        ('quote_sql_str("a\'b")', "'a\\'b'"),
        ("now()", "1000000000.25"),
        ("http_time(784111777)", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("cookie_time(784111777)", "Sun, 06-Nov-94 08:49:37 GMT"),
        ("parse_http_time('Sun, 06 Nov 1994 08:49:37 GMT')", "784111777"),
        ("get_phase()", "content"),
        ("headers_sent", "false"),
        ("HTTP_TOO_MANY_REQUESTS", "429"),
    ],
)
def test_functions_give_what_openrestys_do(
    dialect: Dialect, code: str, value: str
) -> None:
    assert serve(f"ngx.print(tostring(ngx.{code}))", dialect).text == value


@every_dialect
def test_sleep_waits_for_the_host(dialect: Dialect) -> None:
    reply = serve("ngx.sleep(0.5) ngx.print('x')", dialect)
    assert reply.operations == [Op.SLEEP, Op.DONE]


@every_dialect
def test_timers_run_when_the_client_has_its_reply(dialect: Dialect) -> None:
    reply = serve(
        """
        local function later(premature, a, b) ngx.log(ngx.WARN, premature, a, b) end
        ngx.timer.at(0, later, 1, nil)
        ngx.say("text")
        """,
        dialect,
    )
    assert reply.operations == [Op.FINISH, Op.DONE]
    assert (reply.text, reply.log) == ("text\n", [("warning", "false1nil")])


@every_dialect
def test_cjson_of_openresty_is_there_unless_a_file_is(dialect: Dialect) -> None:
    code = """
      local cjson, safe = require("cjson"), require("cjson.safe")
      ngx.print(cjson.encode({ a = cjson.null }), cjson.decode("[1]")[1])
      ngx.print((safe.decode("[")))
    """
    assert serve(code, dialect).text == '{"a":null}1nil'
    code = "ngx.print(ngx.null == require('%s').null)"
    for name in ("json", "cjson"):
        assert serve(code % name, dialect).text == "true"
    own = {"cjson": "return { encode = function() return 'own' end }"}
    code = "ngx.print(require('cjson').encode({}))"
    assert serve(code, dialect, modules=own).text == "own"


@every_dialect
def test_a_script_cannot_change_what_our_functions_use(dialect: Dialect) -> None:
    reply = serve(
        """
        ngx.req.set_header = nil
        ngx.now, ngx.decode_args, ngx.header.x = nil, nil, "1"
        ngx.req.clear_header("X")
        ngx.print(ngx.var.arg_a, ngx.req.get_uri_args().a, type(ngx.now))
        """,
        dialect,
        env={"QUERY_STRING": "a=1"},
    )
    assert reply.text == "11function"


@every_dialect
def test_eof_ends_the_reply_and_the_script_goes_on(dialect: Dialect) -> None:
    reply = serve(
        "ngx.say('text') ngx.eof() local ok, why = ngx.say('late')"
        " ngx.log(ngx.WARN, ok, why) ngx.sleep(1) ngx.exit(404)",
        dialect,
    )
    assert reply.operations == [Op.FINISH, Op.SLEEP, Op.DONE]
    assert reply.text == "text\n"
    assert reply.log[0] == ("warning", "nilseen eof")


@every_dialect
def test_an_error_in_one_timer_is_logged_and_the_others_run(dialect: Dialect) -> None:
    reply = serve(
        """
        for _, text in ipairs { "one", "boom", "three" } do
          ngx.timer.at(0, function()
            if text == "boom" then error(text) end
            ngx.log(ngx.WARN, text)
          end)
        end
        """,
        dialect,
    )
    one, boom, three = reply.log
    assert (one, three) == (("warning", "one"), ("warning", "three"))
    assert "boom" in boom[1]


@every_dialect
def test_an_exit_that_is_refused_has_changed_nothing(dialect: Dialect) -> None:
    code = "pcall(string.gsub, 'x', '.', function() %s end) ngx.say('still here')"
    for call in ("ngx.exit(404)", "ngx.redirect('/x')"):
        reply = serve(code % call, dialect)
        assert reply.headers[0] == "Status: 200 OK"
        assert reply.text == "still here\n"


@every_dialect
def test_an_exit_with_another_status_after_text_is_logged(dialect: Dialect) -> None:
    reply = serve("ngx.say('x') ngx.exit(404)", dialect)
    assert reply.headers[0] == "Status: 200 OK"
    [(level, text)] = reply.log
    assert (level, text) == (
        "error",
        "attempt to set status 404 via ngx.exit after sending out the response"
        " status 200",
    )
    assert serve("ngx.status = 404 ngx.say('x') ngx.exit(404)", dialect).log == []


@every_dialect
def test_os_exit_keeps_status_and_headers(dialect: Dialect) -> None:
    code = "ngx.status = 404 ngx.header['X-A'] = 'b' ngx.say('text') os.exit(0)"
    reply = serve(code, dialect)
    assert reply.text == "text\n"
    assert {"Status: 404 Not Found", "X-A: b"} <= set(reply.headers)
