"""luafarm.cookies: cookies of the request and of the reply."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luafarm.dialects import Dialect
from tests.vmhost.states import Script, every_dialect, pair, params

USE = "local cookies = require 'luafarm.cookies'\n"


def cookie(call: str, dialect: Dialect = Dialect.LUAJIT21) -> str:
    script = Script(USE + "function main(env, con) " + call + " end", dialect)
    return script.run().headers[-1]


def parsed(header: str, name: str, more: str = "") -> str:
    code = f"con:puts(tostring(cookies.parse(env{more})['{name}']))"
    script = Script(USE + f"function main(env, con) {code} end")
    return script.run(params(HTTP_COOKIE=header)).text


@every_dialect
def test_a_cookie_has_all_attributes(dialect: Dialect) -> None:
    call = """cookies.set(con, "sid", "a b", { expires = 1e9, max_age = 60,
      domain = "example.org", path = "/app", secure = true, httponly = true,
      samesite = "none", partitioned = true })"""
    assert cookie(call, dialect) == (
        "Set-Cookie: sid=a%20b; Expires=Sun, 09 Sep 2001 01:46:40 GMT; Max-Age=60; "
        "Domain=example.org; Path=/app; Secure; HttpOnly; SameSite=None; Partitioned"
    )


def test_a_cookie_without_options_is_one_of_the_session() -> None:
    assert cookie("cookies.set(con, 'a', 5)") == "Set-Cookie: a=5"
    assert cookie("cookies.set(con, 'a', 'x%y', { raw = true })") == "Set-Cookie: a=x%y"


def test_a_deleted_cookie_is_over() -> None:
    assert cookie("cookies.delete(con, 'a', { path = '/' })") == (
        "Set-Cookie: a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"
    )


@given(st.binary(max_size=100))
@settings(max_examples=50)
def test_any_value_comes_back_as_it_was_set(value: bytes) -> None:
    script = Script(
        USE
        + """
        function main(env, con)
          local body = con:gets() or ""
          if env.HTTP_COOKIE then assert(cookies.parse(env).v == body)
          else cookies.set(con, "v", body) end
        end
        """
    )
    head = script.run(b"", value).headers[-1]
    sent = head.removeprefix("Set-Cookie: ").encode()
    assert script.run(pair(b"HTTP_COOKIE", sent), value).error is None


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        ("a=1; b=2", "b", "2"),
        ("a=1; a=2", "a", "1"),
        ('a="x y"', "a", "x y"),
        ("a=x=y", "a", "x=y"),
        ("a=%e2%82%ac+%zz", "a", "\xe2\x82\xac+%zz"),
        ("  a =  1  ;;=;x", "a", "1"),
        ("x", "x", "nil"),
        ("a=", "a", ""),
        ("", "a", "nil"),
    ],
)
def test_cookies_of_a_request(header: str, name: str, value: str) -> None:
    assert parsed(header, name) == value


def test_values_can_be_had_as_they_came() -> None:
    assert parsed('a="%20"', "a", ", true") == '"%20"'


def test_no_more_cookies_are_kept_than_a_browser_has() -> None:
    header = ";".join(f"c{n}=1" for n in range(400))
    assert parsed(header, "c299") == "1"
    assert parsed(header, "c300") == "nil"


def test_a_request_without_cookies_has_none() -> None:
    script = Script(USE + "function main(env) assert(not next(cookies.parse(env))) end")
    assert script.run().error is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("con, 'a b', ''", "cookies.set: cookie 'a b': 'a b' is no cookie name"),
        ("con, 5, ''", "a number value is no cookie name"),
        ("con, 'a', {}", "cookie 'a': the value must be a string, not a table value"),
        (
            "con, 'a', ('x'):rep(4096)",
            "name and value of 4097 bytes; the limit is 4096",
        ),
        ("con, 'a', 'x;y', { raw = true }", "the raw value 'x;y' has characters"),
        ("con, 'a', '', { path = 'x' }", "Path 'x' must begin with '/'"),
        ("con, 'a', '', { path = '/;x' }", "Path '/;x' must not contain ';'"),
        (
            "con, 'a', '', { path = '/' .. ('x'):rep(1024) }",
            "Path of 1025 bytes; the li",
        ),
        ("con, 'a', '', { domain = 'a b' }", "Domain 'a b' is no name of a host"),
        ("con, 'a', '', { samesite = 'some' }", "SameSite must be 'Strict', 'Lax' or"),
        ("con, 'a', '', { samesite = 'None' }", "SameSite=None needs secure = true"),
        ("con, 'a', '', { partitioned = true }", "Partitioned needs secure = true"),
        ("con, '__Secure-a', ''", "its name needs secure = true"),
        ("con, '__Host-a', '', { secure = true }", "its name needs path = '/' and no"),
        ("con, 'a', '', { secure = 1 }", "Secure must be true or false, not a number"),
        ("con, 'a', '', { max_age = 'x' }", "Max-Age must be a number of seconds"),
        ("con, 'a', '', { max_age = 1/0 }", "Max-Age must be a number of seconds"),
        ("con, 'a', '', { expires = 1e12 }", "Expires must be seconds since 1970"),
        ("con, 'a', '', { same_site = 'x' }", "there is no option 'same_site'"),
        ("con, 'a', '', 5", "bad argument #4 to 'set' (table expected, got number)"),
        ("nil, 'a', ''", "bad argument #1 to 'set' (con expected, got no value)"),
    ],
)
def test_what_browsers_would_drop_is_an_error(arguments: str, says: str) -> None:
    script = Script(USE + f"function main(env, con) cookies.set({arguments}) end")
    failure = script.run().failure
    assert says in failure.message
    assert failure.line == 2


@every_dialect
def test_misuse_names_what_was_given(dialect: Dialect) -> None:
    code = """
      local cookies = require "luafarm.cookies"
      function main(env, con)
        con:puts(select(2, pcall(cookies.set, con, "a")) .. ";")
        con:puts(select(2, pcall(cookies.parse, con)))
      end
    """
    first, second = Script(code, dialect).run().text.split(";")
    assert first.endswith("cookie 'a': the value must be a string, not nil")
    assert second.endswith("bad argument #1 to 'parse' (env expected, got con)")
