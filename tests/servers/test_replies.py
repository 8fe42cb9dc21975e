"""What reaches the client of a script's reply, through each web server."""

import pytest

from tests.servers.client import ask, begin
from tests.servers.conftest import Site

pytestmark = pytest.mark.process

KIB = 1024
MIB = 1024 * KIB


def pattern(size: int) -> bytes:
    return (b"0123456789abc" * (size // 13 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 100 * KIB, 4 * MIB])
def test_a_reply_arrives_whole(site: Site, size: int) -> None:
    reply = ask(site.port, f"/reply.lua?{size}")
    assert (reply.status, reply.whole) == (200, True)
    assert reply.body == pattern(size)


def test_a_reply_of_known_size_carries_its_length(site: Site) -> None:
    reply = ask(site.port, "/reply.lua?1000")
    assert reply.headers["Content-Length"] == "1000"


def test_head_has_the_header_and_no_body(site: Site) -> None:
    reply = ask(site.port, "/reply.lua?1000", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Type"] == "application/octet-stream"
    after = ask(site.port, "/hello.lua")
    assert after.body == b"Hello World"


@pytest.mark.parametrize(
    "status", ["201 Created", "404 Not Here", "418 Teapot", "500 Broken", "503 Busy"]
)
def test_a_script_chooses_its_status(site: Site, status: str) -> None:
    reply = ask(site.port, "/status.lua?" + status.replace(" ", "%20"))
    assert reply.status == int(status[:3])
    assert reply.body.startswith(b"body of ")


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_a_body_is_passed_on_without_one(
    site: Site, status: int
) -> None:
    for _ in range(3):  # a body would break the connection for the next request
        reply = ask(site.port, f"/status.lua?{status}%20None")
        assert (reply.status, reply.body) == (status, b"")


def test_a_location_alone_redirects(site: Site) -> None:
    reply = ask(site.port, "/redirect.lua")
    assert reply.status == 302
    assert reply.headers["Location"] == "https://elsewhere.example/new"


def test_a_missing_script_is_not_found(site: Site) -> None:
    assert ask(site.port, "/nothing.lua").status == 404
    assert ask(site.port, "/no/such/place.lua").status == 404


def test_no_source_is_handed_out(site: Site) -> None:
    for target in ("/hello.lua%00", "/hello.lua/", "/hello.lua%20", "/hello.Lua"):
        reply = ask(site.port, target)
        assert b"function main" not in reply.body, target


def test_a_script_error_is_a_500_page_with_its_class(site: Site) -> None:
    reply = ask(site.port, "/fail.lua?request")
    assert reply.status == 500
    assert b"Runtime Error" in reply.body
    assert b"failed as asked by request" in reply.body
    assert b"discarded" not in reply.body


def test_a_long_reply_header_arrives(site: Site) -> None:
    reply = ask(site.port, "/header.lua?6000")
    assert (reply.status, reply.body) == (200, b"0")
    assert reply.headers["X-Long"] == "h" * 6000


def test_a_flushed_piece_arrives_before_the_reply_ends(site: Site) -> None:
    connection, response = begin(site.port, "/stream.lua")
    try:
        first = response.read1(100)
        rest = response.read()
    finally:
        connection.close()
    assert (first, rest) == (b"one\n", b"two\n")


@pytest.mark.parametrize("query", ["", "length"])
@pytest.mark.parametrize("buffered", ["", "&buffered"])
def test_a_reply_cut_short_shows(site: Site, query: str, buffered: str) -> None:
    reply = ask(site.port, f"/cut.lua?{query}{buffered}")
    assert not (reply.status == 200 and reply.whole)
