"""What a script gets to see of a request, through each web server."""

import random

import pytest

from tests.servers.client import Reply, ask
from tests.servers.conftest import Site

pytestmark = pytest.mark.process

KIB = 1024
MIB = 1024 * KIB
BINARY = random.Random(7).randbytes(5 * MIB)


def environment(reply: Reply) -> dict[str, str]:
    """Read the parameters that scripts/env.lua saw."""
    pairs = (line.partition("=") for line in reply.body.decode().splitlines())
    return {name: value for name, _, value in pairs}


def test_a_script_answers(site: Site) -> None:
    reply = ask(site.port, "/hello.lua")
    assert (reply.status, reply.body, reply.whole) == (200, b"Hello World", True)
    assert reply.headers["Content-Type"] == "text/html"


def test_a_script_sees_the_parameters_of_its_request(site: Site) -> None:
    seen = environment(ask(site.port, "/env.lua?a=1&b=%20two"))
    expected = {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "a=1&b=%20two",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "SCRIPT_NAME": "/env.lua",
        "SCRIPT_FILENAME": str(site.farm.root / "env.lua"),
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert seen["SERVER_PORT"] == str(site.port) or site.server.name.startswith("nginx")
    assert seen.get("PATH_INFO", "") == ""


def test_request_headers_arrive_as_parameters(site: Site) -> None:
    headers = {"X-Custom-Name": "value; with=things", "Cookie": "a=b; c=d"}
    seen = environment(ask(site.port, "/env.lua", headers=headers))
    assert seen["HTTP_X_CUSTOM_NAME"] == "value; with=things"
    assert seen["HTTP_COOKIE"] == "a=b; c=d"


def test_the_proxy_header_never_becomes_a_parameter(site: Site) -> None:
    seen = environment(ask(site.port, "/env.lua", headers={"Proxy": "evil:1"}))
    assert seen.get("HTTP_PROXY", "") == ""


def test_what_follows_the_script_is_path_info(site: Site) -> None:
    seen = environment(ask(site.port, "/env.lua/more/of it?x=y".replace(" ", "%20")))
    assert seen["PATH_INFO"] == "/more/of it"
    assert seen["SCRIPT_NAME"] == "/env.lua"
    assert seen["QUERY_STRING"] == "x=y"


@pytest.mark.parametrize("size", [0, 1, 10 * KIB, 5 * MIB])
def test_a_body_arrives_byte_by_byte(site: Site, size: int) -> None:
    reply = ask(site.port, "/echo.lua", body=BINARY[:size])
    assert (reply.status, reply.whole) == (200, True)
    assert reply.body == BINARY[:size]


@pytest.mark.parametrize("size", [1, 10 * KIB, 5 * MIB])
def test_a_body_without_a_length_arrives_or_is_refused(site: Site, size: int) -> None:
    reply = ask(site.port, "/echo.lua", body=BINARY[:size], chunked=True)
    if site.server.takes_chunked or reply.status == 200:
        assert (reply.status, reply.whole) == (200, True)
        assert reply.body == BINARY[:size]
    else:
        assert reply.status in {400, 411}


def test_a_body_that_no_script_reads_delays_nothing(site: Site) -> None:
    for _ in range(3):
        reply = ask(site.port, "/hello.lua", body=BINARY)
        assert (reply.status, reply.body) == (200, b"Hello World")


def test_a_body_over_the_limit_is_refused(site: Site) -> None:
    try:
        reply = ask(site.port, "/echo.lua", body=bytes(17 * MIB))
    except ConnectionResetError:
        return  # refused while it was being sent, and the reset overtook the answer
    assert reply.status == 413


def test_a_long_request_header_arrives(site: Site) -> None:
    reply = ask(site.port, "/header.lua?1", headers={"X-Long": "q" * 7000})
    assert (reply.status, reply.body) == (200, b"7000")


def test_other_methods_reach_the_script(site: Site) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        reply = ask(site.port, "/env.lua", method=method, body=b"x")
        assert reply.status == 200, method
        assert environment(reply)["REQUEST_METHOD"] == method
