"""The parameters that a script gets of a request over HTTP."""

import pytest

from fcgi.http.request import Request
from fcgi.http.roots import Location
from fcgi.http.target import Target
from fcgi.http.variables import Ends, end, parameters

PLACE = Location(b"/srv", b"/a.lua", b"/b")
ENDS = Ends((b"10.0.0.1", b"4711"), (b"10.0.0.2", b"8080"))


def told(*fields: tuple[bytes, bytes], body_bytes: int = 0) -> dict[bytes, bytes]:
    request = Request()
    request.method = b"POST"
    request.target = Target(b"/a%2elua/b", b"c=d", b"/a%2elua/b?c=d", None)
    request.fields = list(fields)
    request.body_bytes = body_bytes
    pairs = parameters(request, PLACE, ENDS)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_a_script_is_told_what_a_web_server_would_tell() -> None:
    assert told((b"host", b"x"), body_bytes=7) == {
        b"SCRIPT_FILENAME": b"/srv/a.lua",
        b"SCRIPT_NAME": b"/a.lua",
        b"PATH_INFO": b"/b",
        b"QUERY_STRING": b"c=d",
        b"REQUEST_METHOD": b"POST",
        b"REQUEST_URI": b"/a%2elua/b?c=d",
        b"REQUEST_SCHEME": b"http",
        b"DOCUMENT_URI": b"/a.lua/b",
        b"DOCUMENT_ROOT": b"/srv",
        b"GATEWAY_INTERFACE": b"CGI/1.1",
        b"SERVER_PROTOCOL": b"HTTP/1.1",
        b"SERVER_SOFTWARE": b"luafarm",
        b"SERVER_NAME": b"10.0.0.2",
        b"SERVER_ADDR": b"10.0.0.2",
        b"SERVER_PORT": b"8080",
        b"REMOTE_ADDR": b"10.0.0.1",
        b"REMOTE_PORT": b"4711",
        b"CONTENT_TYPE": b"",
        b"CONTENT_LENGTH": b"7",
        b"HTTP_HOST": b"x",
    }


def test_fields_become_parameters_once_each() -> None:
    found = told(
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"cookie", b"a=b"),
        (b"cookie", b"c=d"),
        (b"content-type", b"a/b"),
        (b"content-length", b"99"),
        (b"proxy", b"evil"),
        body_bytes=3,
    )
    assert found[b"HTTP_X_A"] == b"1, 2"
    assert found[b"HTTP_COOKIE"] == b"a=b; c=d"
    assert found[b"CONTENT_TYPE"] == b"a/b"
    assert found[b"CONTENT_LENGTH"] == b"3"
    assert not {b"HTTP_PROXY", b"HTTP_CONTENT_TYPE", b"HTTP_CONTENT_LENGTH"} & set(
        found
    )


@pytest.mark.parametrize("name", [b"x_real_ip", b"x.real.ip", b"x!real|ip"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_name_that_passes_for_another_is_not_passed_on(
    name: bytes, is_first: bool
) -> None:
    both = [(name, b"6.6.6.6"), (b"x-real-ip", b"10.0.0.1")]
    found = told(*(both if is_first else reversed(both)))
    assert {k: v for k, v in found.items() if k.startswith(b"HTTP")} == {
        b"HTTP_X_REAL_IP": b"10.0.0.1"
    }


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("127.0.0.1", 80), b"127.0.0.1"),
        (("::1", 80, 0, 0), b"::1"),
        (("::ffff:127.0.0.1", 80, 0, 0), b"127.0.0.1"),
        (("::ffff:0:1", 80, 0, 0), b"::ffff:0:1"),
    ],
)
def test_an_address_is_told_as_its_own_family_writes_it(
    address: object, host: bytes
) -> None:
    assert end(address) == (host, b"80")


@pytest.mark.parametrize("address", [None, "", b"\0abstract", "/run/web.sock"])
def test_a_unix_socket_has_no_address(address: object) -> None:
    assert end(address) == (b"", b"")
