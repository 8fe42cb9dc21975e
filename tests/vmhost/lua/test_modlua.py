"""Apache's mod_lua: global handle(r)."""

import hashlib

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Op,
    Reply,
    Script,
    every_dialect,
    every_sandboxed_dialect,
    params,
)
from vmhost.lua.limits import StateLimits

GET = {"REQUEST_METHOD": "GET"}
POST = {"REQUEST_METHOD": "POST"}
FORM = "application/x-www-form-urlencoded"


def serve(
    code: str,
    dialect: Dialect = Dialect.LUAJIT21,
    body: bytes = b"",
    env: dict[str, str] | None = None,
    **options: object,
) -> Reply:
    """Return the reply of a handle that runs code."""
    source = f"function handle(r)\n{code}\nend"
    script = Script(source, dialect, **options)  # type: ignore[arg-type]
    values = {**GET, **(env or {})}
    if body:
        values["CONTENT_LENGTH"] = str(len(body))
    return script.run(params(**values), body)


# ---- output --------------------------------------------------------------------------


@every_dialect
def test_puts_takes_any_number_of_strings_and_write_tells_the_bytes(
    dialect: Dialect,
) -> None:
    reply = serve("r:puts('a', 1, 'b') r:puts(r:write('\\0c'))", dialect)
    assert reply.body == b"a1b\0c2"


@every_dialect
@pytest.mark.parametrize("argument", ["nil", "{}", "true"])
def test_puts_refuses_other_values(dialect: Dialect, argument: str) -> None:
    failure = serve(f"r:puts('a', {argument})", dialect).failure
    assert "bad argument #2 to 'puts' (string expected, got " in failure.message
    assert failure.line == 2


@every_dialect
def test_status_content_type_and_both_tables_of_headers_are_sent(
    dialect: Dialect,
) -> None:
    reply = serve(
        """
        r.headers_out["X-One"] = "gone"
        r.headers_out["x-one"] = 1
        r.err_headers_out["X-Two"] = "2"
        r.headers_out["X-Three"] = "3"
        r.headers_out["X-THREE"] = nil
        r.content_type, r.status = "text/plain", 405
        r:puts(r.status, r.content_type, r.headers_out["X-ONE"])
        return apache2.OK
        """,
        dialect,
    )
    assert reply.text == "405text/plain1"
    assert reply.headers == [
        "Status: 405 Method Not Allowed",
        "Content-Type: text/plain",
        "X-Powered-By: Lua",
        "X-Two: 2",
        "x-one: 1",
    ]


@every_dialect
def test_headers_go_with_the_first_flush(dialect: Dialect) -> None:
    reply = serve(
        """
        r.headers_out["X-One"] = "1"
        r:puts("a")
        r:flush()
        r.headers_out["X-Two"] = "2"
        r:puts("b")
        """,
        dialect,
    )
    assert reply.operations == [Op.FLUSH, Op.DONE]
    assert reply.steps[0][2] == b"a"
    assert "X-One: 1" in reply.headers
    assert "X-Two: 2" not in reply.headers
    assert reply.text == "ab"


@every_dialect
def test_a_body_that_flushes_itself_takes_the_headers_with_it(dialect: Dialect) -> None:
    reply = serve(
        "r.status = 404 for i = 1, 30 do r:puts('0123456789') end",
        dialect,
        limits=StateLimits(part_bytes=100),
    )
    assert reply.headers[0] == "Status: 404 Not Found"
    assert len(reply.body) == 300


@every_dialect
def test_a_location_without_a_status_is_no_redirection(dialect: Dialect) -> None:
    headers = serve("r.headers_out['Location'] = '/x'", dialect).headers
    assert headers[0] == "Status: 200 OK"
    assert "Location: /x" in headers


@every_dialect
def test_sendfile_puts_a_file_below_the_roots(dialect: Dialect) -> None:
    code = "r:puts(tostring(r:sendfile('a.txt')), tostring(r:sendfile('b.txt')))"
    assert serve(code, dialect, files={"a.txt": "text"}).text == "text4false"


@every_dialect
def test_a_head_request_is_not_executed(dialect: Dialect) -> None:
    reply = serve("error('run')", dialect, env={"REQUEST_METHOD": "HEAD"})
    assert reply.text == ""
    assert reply.headers[0] == "Status: 200 OK"


# ---- results -------------------------------------------------------------------------


@every_dialect
@pytest.mark.parametrize(
    "result", ["apache2.OK", "apache2.DONE", "0", "nil", "'x'", "{}", "200"]
)
def test_after_these_results_the_reply_stands(dialect: Dialect, result: str) -> None:
    reply = serve(f"r:puts('text') return {result}", dialect)
    assert (reply.headers[0], reply.text) == ("Status: 200 OK", "text")


@every_dialect
@pytest.mark.parametrize(
    ("result", "status"),
    [
        ("apache2.DECLINED", "404 Not Found"),
        ("403", "403 Forbidden"),
        ("500.0", "500 Internal Server Error"),
        ("7", "500 Internal Server Error"),
        ("404.5", "500 Internal Server Error"),
    ],
)
def test_a_status_as_result_makes_an_error_page(
    dialect: Dialect, result: str, status: str
) -> None:
    reply = serve(
        "r:puts('text') r.headers_out['X-A'] = '1' r.err_headers_out['X-B'] = '2'"
        f" return {result}",
        dialect,
    )
    assert reply.headers[0] == f"Status: {status}"
    assert "X-B: 2" in reply.headers
    assert "X-A: 1" not in reply.headers
    assert f"Error {status[:3]}" in reply.text
    assert "text" not in reply.text


@every_dialect
def test_custom_response_is_the_body_of_its_status(dialect: Dialect) -> None:
    assert serve("r:custom_response(403, 'No.') return 403", dialect).text == "No."


@every_dialect
def test_a_redirection_keeps_its_location(dialect: Dialect) -> None:
    headers = serve(
        "r.headers_out['location'] = '/x' return apache2.HTTP_MOVED_TEMPORARILY",
        dialect,
    ).headers
    assert headers[0] == "Status: 302 Found"
    assert "Location: /x" in headers


def test_a_result_that_comes_after_the_head_is_logged() -> None:
    reply = serve("r:flush() r:puts('text') return 404")
    assert reply.text == "text"
    assert reply.log == [("warning", "status 404 ignored: the reply has begun")]


@every_dialect
def test_an_error_is_ours_to_tell_and_the_next_request_begins_anew(
    dialect: Dialect,
) -> None:
    script = Script(
        """
        local n = 0
        function handle(r)
          n = n + 1
          r.headers_out["X-" .. n] = "x"
          r:puts(n)
          if n == 1 then error("one") end
        end
        """,
        dialect,
    )
    assert "one" in script.run(params(**GET)).failure.message
    reply = script.run(params(**GET))
    assert reply.text == "2"
    assert "X-1: x" not in reply.headers


# ---- what r tells --------------------------------------------------------------------


@every_dialect
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "GET"),
        ("args", "a=1&b"),
        ("uri", "/x.lua/more"),
        ("unparsed_uri", "/x.lua/more?a=1&b"),
        ("the_request", "GET /x.lua/more?a=1&b HTTP/1.1"),
        ("protocol", "HTTP/1.1"),
        ("hostname", "example.org"),
        ("port", "8080"),
        ("server_name", "server.example.org"),
        ("path_info", "/more"),
        ("filename", "/srv/www/x.lua"),
        ("canonical_filename", "/srv/www/x.lua"),
        ("document_root", "/srv/www"),
        ("useragent_ip", "192.0.2.1"),
        ("user", "nil"),
        ("is_https", "false"),
        ("is_initial_req", "true"),
        ("assbackwards", "false"),
        ("some_auth_required", "false"),
        ("basic_auth_pw", "secret"),
        ("status", "200"),
        ("content_type", "nil"),
        ("range", "bytes=0-1"),
        ("no_such_field", "nil"),
        ("handler", "lua-script"),
        ("remaining", "0"),
    ],
)
def test_fields_come_from_the_request(dialect: Dialect, name: str, value: str) -> None:
    env = {
        "QUERY_STRING": "a=1&b",
        "REQUEST_URI": "/x.lua/more?a=1&b",
        "SCRIPT_NAME": "/x.lua",
        "PATH_INFO": "/more",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "example.org:8080",
        "SERVER_PORT": "8080",
        "SERVER_NAME": "server.example.org",
        "SCRIPT_FILENAME": "/srv/www/x.lua",
        "DOCUMENT_ROOT": "/srv/www",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_RANGE": "bytes=0-1",
        "HTTP_AUTHORIZATION": "Basic dXNlcjpzZWNyZXQ=",
    }
    assert serve(f"r:puts(tostring(r.{name}))", dialect, env=env).text == value


@every_dialect
def test_tables_know_their_keys_in_any_spelling(dialect: Dialect) -> None:
    reply = serve(
        """
        r:puts(r.headers_in["user-AGENT"], r.headers_in["Content-Type"],
          tostring(r.headers_in["X"]), r.subprocess_env["remote_addr"])
        r.notes["Key"] = "line\\nbreak"
        r:puts(r.notes.key)
        local names = {}
        for name in pairs(r:headers_in_table()) do names[#names + 1] = name end
        table.sort(names)
        r:puts(table.concat(names, ","))
        """,
        dialect,
        env={"HTTP_USER_AGENT": "UA", "CONTENT_TYPE": "x/y", "REMOTE_ADDR": "::1"},
    )
    assert reply.text == "UAx/ynil::1line\nbreakContent-Type,User-Agent"


@every_sandboxed_dialect
def test_tables_can_be_walked_through(dialect: Dialect) -> None:
    code = "for name, value in pairs(r.headers_in) do r:puts(name, '=', value) end"
    assert serve(code, dialect, env={"HTTP_X_Y": "1"}).text == "X-Y=1"


@every_dialect
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("r.method = 'x'", "Property [method] may not be set on a request_rec"),
        ("r.nothing = 1", "Property [nothing] may not be set on a request_rec"),
        ("r.status = 99", "'99' is no status of a reply"),
        ("r.status = 'x'", "'status' must be a number, not a string value"),
        ("r.content_type = {}", "'content_type' must be a string, not a table value"),
        ("r.headers_out.x = {}", "must be a string, not a table value"),
        ("r.headers_out[{}] = 'x'", "a key of 'headers_out' must be a string"),
        ("r.puts('x')", "write r:puts(...)"),
        ("r:ivm_set('a', 1)", "'ivm_set' needs a store that all states share"),
        ("r:ivm_get('a')", "'ivm_get' needs a store that all states share"),
        ("r:dbacquire()", "'dbacquire' needs Apache itself"),
        ("r:wsupgrade()", "'wsupgrade' needs Apache itself"),
        ("r:regex('a', 'b')", "'regex' needs Apache itself"),
        ("r:setcookie{ value = 'x' }", "a cookie's key must be a name"),
        ("r:setcookie{ key = 'a', path = 'x;y' }", "must not contain ';'"),
        ("r:usleep(-1)", "microseconds expected"),
        ("r:parsebody({})", "bad argument #1 to 'parsebody' (number expected)"),
    ],
)
def test_misuse_is_named_at_the_scripts_line(
    dialect: Dialect, code: str, message: str
) -> None:
    failure = serve(code, dialect).failure
    assert message in failure.message
    assert failure.line == 2


def test_what_is_not_there_fails_when_it_is_used_not_when_it_is_looked_at() -> None:
    assert (
        serve("r:puts(type(r.dbacquire), type(r.ivm_get))").text == "functionfunction"
    )


@every_dialect
def test_a_header_cannot_carry_another(dialect: Dialect) -> None:
    reply = serve("r.headers_out['X-A'] = 'a\\r\\nX-B: b'", dialect)
    assert "X-A: a X-B: b" in reply.headers
    assert reply.log[0][0] == "warning"


@every_dialect
def test_a_request_that_is_over_is_of_no_use(dialect: Dialect) -> None:
    script = Script(
        """
        local old
        function handle(r)
          if old then
            r:puts(tostring(pcall(old.puts, old, "x")))
            r:puts(tostring(pcall(function() return old.method end)))
          end
          old = r
        end
        """,
        dialect,
    )
    script.run(params(**GET))
    assert script.run(params(**GET)).text == "falsefalse"


# ---- what was sent -------------------------------------------------------------------


@every_dialect
def test_parseargs_gives_first_values_and_all(dialect: Dialect) -> None:
    reply = serve(
        """
        local one, all = r:parseargs()
        r:puts(one["a b"], ",", one.flag, ",", one.empty, ",")
        r:puts(table.concat(all["a b"], "+"))
        """,
        dialect,
        env={"QUERY_STRING": "a+b=1%21&a%20b=2&flag&empty="},
    )
    assert reply.text == "1!,1,,1!+2"


@every_dialect
def test_parsebody_of_a_form_hands_out_values_from_the_end_as_apache_does(
    dialect: Dialect,
) -> None:
    reply = serve(
        """
        local one, all = r:parsebody()
        r:puts(one.a, ",", one.b, ",", table.concat(all.a, "+"))
        """,
        dialect,
        b"a=1&a=2&b=x%20y",
        {**POST, "CONTENT_TYPE": FORM},
    )
    assert reply.text == "2,x y,2+1"


@every_dialect
def test_parsebody_of_a_multipart_form_keeps_bytes(dialect: Dialect) -> None:
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--XX\r\nContent-Disposition: form-data; name="f"; filename="x.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\x00\r\n--X\xff\r\n"
        b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n--XX--\r\n'
    )
    reply = serve(
        "local one, all = r:parsebody(1e6) r:puts(one.a, #all.a, one.f)",
        dialect,
        body,
        {**POST, "CONTENT_TYPE": "multipart/form-data; boundary=XX"},
    )
    assert reply.body == b"12\x00\r\n--X\xff"


@every_dialect
@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"a=" + b"x" * 9000, FORM),
        (b"a=1", "text/plain"),
        (b"&".join(b"n%d=1" % n for n in range(501)), FORM),
        (b"no parts", "multipart/form-data; boundary=XX"),
        (
            b"--XX\r\nContent-Disposition: form-data; name=a",
            "multipart/form-data; boundary=XX",
        ),
        (
            b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--XX\r\n',
            "multipart/form-data; boundary=XX",
        ),
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=" + "x" * 251),
    ],
)
def test_parsebody_of_what_is_no_form_or_too_much_gives_empty_tables(
    dialect: Dialect, body: bytes, media: str
) -> None:
    reply = serve(
        "local a, b = r:parsebody() r:puts(tostring(next(a)), tostring(next(b)))",
        dialect,
        body,
        {**POST, "CONTENT_TYPE": media},
    )
    assert reply.text == "nilnil"


@every_dialect
def test_requestbody_gives_the_body_of_post_and_put(dialect: Dialect) -> None:
    code = "local text, size = r:requestbody() r:puts(tostring(text), tostring(size))"
    assert serve(code, dialect, b"abc", POST).text == "abc3"
    assert serve(code, dialect, b"abc").text == "nilnil"
    limited = "r:puts(tostring(r:requestbody(nil, 2)))"
    assert serve(limited, dialect, b"abc", POST).text == "nil"


@every_dialect
def test_cookies_are_read_and_set(dialect: Dialect) -> None:
    reply = serve(
        """
        r:puts(r:getcookie("b"), tostring(r:getcookie("c")))
        r:setcookie{ key = "k", value = "v", expires = 86400, secure = true,
          httponly = true, path = "/p", domain = "example.org" }
        r:setcookie("old", "1", true, 0)
        """,
        dialect,
        env={"HTTP_COOKIE": "a=1; b=x=y"},
    )
    assert reply.text == "x=ynil"
    assert [line for line in reply.headers if line.startswith("Set-Cookie")] == [
        "Set-Cookie: k=v; Secure; Expires=Fri, 02 Jan 1970 00:00:00 GMT; HttpOnly;"
        " Domain=example.org; Path=/p;",
        "Set-Cookie: old=1; Secure;",
    ]


# ---- functions -----------------------------------------------------------------------


@every_dialect
@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("escape('a b/ü*')", "a+b%2f%c3%bc*"),
        ("unescape('a+b%2f')", "a b/"),
        ("escape_html('<a href=\"x\">&')", "&lt;a href=&quot;x&quot;&gt;&amp;"),
        ("os_escape_path('a b/c:d')", "a%20b/c:d"),
        ("os_escape_path('c:d')", "./c:d"),
        ("escape_logitem('a\"\\n\\1')", 'a\\"\\n\\x01'),
        ("base64_encode('Hello')", "SGVsbG8="),
        ("base64_decode('SGVsbG8=')", "Hello"),
        ("md5('x')", hashlib.md5(b"x").hexdigest()),
        ("sha1('x')", hashlib.sha1(b"x").hexdigest()),
        ("strcmp_match('foobar.com', 'foo*.com')", "true"),
        ("strcmp_match('foobar.com', 'f?o*com')", "true"),
        ("strcmp_match('foobar.com', '*.org')", "false"),
        ("strcmp_match('', '*')", "true"),
        ("strcmp_match('a', '')", "false"),
        ("construct_url('/x')", "http://example.org/x"),
        ("clock()", "1000000000250000"),
        ("date_parse_rfc('Sun, 06 Nov 1994 08:49:37 GMT')", "784111777"),
        ("date_parse_rfc('Sunday, 06-Nov-94 08:49:37 GMT')", "784111777"),
        ("date_parse_rfc('Sun Nov  6 08:49:37 1994')", "784111777"),
        ("date_parse_rfc('Sun, 06 Nov 1994 10:49:37 +0200')", "784111777"),
        ("date_parse_rfc('never')", "0"),
        ("mkdir('x')", "false"),
        ("exists_config_define('X')", "false"),
        ("ssl_var_lookup('SSL_PROTOCOL')", "nil"),
    ],
)
def test_functions_give_what_apaches_do(
    dialect: Dialect, call: str, value: str
) -> None:
    code = (
        f"local value = r:{call} if type(value) == 'number' then"
        " value = string.format('%.0f', value) end r:puts(tostring(value))"
    )
    env = {"HTTP_HOST": "example.org", "SERVER_PORT": "80"}
    assert serve(code, dialect, env=env).body.decode() == value


@every_dialect
def test_functions_may_be_called_with_a_dot(dialect: Dialect) -> None:
    code = "r:puts(tostring(r.strcmp_match('ab', 'a*')), r.sha1('x'):sub(1, 4))"
    assert serve(code, dialect).text == "true11f6"


@every_dialect
def test_log_levels_are_ours(dialect: Dialect) -> None:
    reply = serve("r:trace1('a') r:notice('b') r:warn('c') r:emerg('d')", dialect)
    assert reply.log == [
        ("debug", "a"),
        ("info", "b"),
        ("warning", "c"),
        ("error", "d"),
    ]


@every_dialect
def test_apache2_is_a_global_and_a_module_while_the_chunk_runs(
    dialect: Dialect,
) -> None:
    source = """
      local OK, version = apache2.OK, require("apache2").version
      function handle(r)
        r:puts(OK, version, apache2.DECLINED, apache2.DONE)
        return OK
      end
    """
    assert Script(source, dialect).run(params(**GET)).text == "0luafarm-1-2"


@every_dialect
def test_os_exit_keeps_status_and_headers(dialect: Dialect) -> None:
    code = "r.status = 404 r.headers_out['X-A'] = 'b' r:puts('text') os.exit(0)"
    reply = serve(code, dialect)
    assert reply.text == "text"
    assert {"Status: 404 Not Found", "X-A: b"} <= set(reply.headers)


@every_dialect
def test_a_cookie_s_value_is_escaped_as_apache_does(dialect: Dialect) -> None:
    reply = serve("r:setcookie('a', 'x y; Domain=evil&')", dialect)
    assert "Set-Cookie: a=x+y%3b+Domain%3devil%26;" in reply.headers


@every_dialect
def test_a_body_that_was_read_has_no_form(dialect: Dialect) -> None:
    code = "r:requestbody() r:puts(tostring(next((r:parsebody()))))"
    env = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
    }
    assert serve(code, dialect, b"a=1", env).text == "nil"
